// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share. Nobody else includes it.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "net/timer.h"
#include "tls/openssl/owned.h"
#include "tls/openssl/parked.h"
#include "tls/session.h"

namespace moongate::tls {

struct ContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SessionFree {
  void operator()(SSL* session) const { SSL_free(session); }
};

struct TrustStore::Parts {
  std::unique_ptr<X509_STORE, Free<X509_STORE_free>> library;
};

struct ClientContext::Parts {
  std::unique_ptr<SSL_CTX, ContextFree> library;
};

struct ServerContext::Parts {
  std::unique_ptr<SSL_CTX, ContextFree> library;
  int version_min = 0;
  int version_max = 0;
  int verify_mode = SSL_VERIFY_NONE;
  int verify_depth = 0;
  SSL_verify_cb on_verified = nullptr;  // may overrule the verdict on a client's certificate
};

struct Session::Parts {
  ~Parts() { object.unpark(); }
  /// The library's object for one call; it is parked when there was none for a while.
  SSL* awake();
  static void on_idle(void* self);

  net::Stream& socket;
  std::shared_ptr<const ServerNames> names;
  std::unique_ptr<SSL, SessionFree> library;
  std::shared_ptr<const ServerContext> chosen;
  std::string server_name;
  std::string failure;
  std::string received;                         // bytes that were read before there was a session
  bool is_broken = false;                       // nothing more may be written
  std::shared_ptr<const ClientContext> client;  // null on the server's side
  std::shared_ptr<SessionStore> sessions;
  Protocols offered = Protocols::kHttp1;  // on the server's side
  bool is_http2 = false;                  // was chosen
  size_t barren_bytes = 0;                // came since there was something for the user
  ParkedObject object{};
  net::Timer idle_timer{on_idle, this};
};

/// A context that can serve: what all have in common. Null without memory.
std::unique_ptr<SSL_CTX, ContextFree> make_server_library();
/// The error `what`, with what the library has to say.
base::Error describe_fault(const std::string& what);
/// Certificate, chain and key. Errors begin with "cert: " or "key: ".
base::Result<void> use_pair(SSL_CTX* library, const CertificatePair& pair);
/// The library's number of a version.
int library_version(Version version);
/// What every context has in common, whichever side it is for.
void set_common_options(SSL_CTX* library);
/// Why a client's handshake failed.
std::string describe_client_failure(const Session::Parts& parts, std::string library_errors);
/// What the library has to say, without the words that only its authors need; the queue is empty afterwards.
std::string take_library_errors();
/// Sends what Staples has for the certificate that was chosen; the library calls it for clients that ask.
int send_staple(SSL* library, void*);
/// What a certificate says of its owner; is_verified is the caller's to set.
PeerCertificate describe_certificate(X509* certificate);
/// What comes is more than a handshake needs, or a connection that says something.
bool is_barren(const Session::Parts& parts);
/// The socket as the library's input and output.
BIO* make_socket_bio(Session::Parts* parts);

}  // namespace moongate::tls
