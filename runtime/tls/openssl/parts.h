// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share. Nobody else includes it.
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "tls/session.h"

namespace moongate::tls {

struct ContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SessionFree {
  void operator()(SSL* session) const { SSL_free(session); }
};

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

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
};

struct Session::Parts {
  net::Stream& socket;
  std::shared_ptr<const ServerNames> names;
  std::unique_ptr<SSL, SessionFree> library;
  const ServerContext* chosen = nullptr;
  std::string server_name;
  std::string failure;
  std::string received;                         // bytes that were read before there was a session
  bool is_broken = false;                       // nothing more may be written
  std::shared_ptr<const ClientContext> client;  // null on the server's side
  std::shared_ptr<SessionStore> sessions;
};

/// A context that can serve: what all have in common. Null without memory.
std::unique_ptr<SSL_CTX, ContextFree> make_server_library();
/// The error `what`, with what the library has to say.
base::Error describe_fault(const std::string& what);
Bio read_text(const std::string& text);
/// Stands in for a user who could be asked for a key's password: nobody is there.
int refuse_password(char*, int, int, void*);
/// Certificate, chain and key. Errors begin with "cert: " or "key: ".
base::Result<void> use_pair(SSL_CTX* library, const CertificatePair& pair);
/// What every context has in common, whichever side it is for.
void set_common_options(SSL_CTX* library);
/// Why a client's handshake failed.
std::string describe_client_failure(const Session::Parts& parts, std::string library_errors);
/// What the library has to say, without the words that only its authors need; the queue is empty afterwards.
std::string take_library_errors();
/// The socket as the library's input and output.
BIO* make_socket_bio(Session::Parts* parts);

}  // namespace moongate::tls
