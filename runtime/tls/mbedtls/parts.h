// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share. Nobody else includes it.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "tls/mbedtls/client_hello.h"
#include "tls/mbedtls/owned.h"
#include "tls/session.h"

namespace moongate::tls {

struct OwnPair {
  Certificates certificates;
  Key key;
};

struct TrustStore::Parts {
  Certificates certificates;
};

struct ClientContext::Parts {
  std::shared_ptr<const TrustStore> trust;
  OwnPair own;
  std::vector<int> ciphers;  // this and what follows: the configuration points into them
  std::vector<std::string> protocols;
  std::vector<const char*> protocol_list;
  Config config;
};

struct ServerContext::Parts {
  std::list<OwnPair> own;  // their addresses stay
  Certificates client_ca;
  uint32_t client_depth = 0;
  std::vector<int> ciphers;
  std::string ticket_scope;       // a ticket is opened under the same only
  std::array<Config, 3> configs;  // by what connections are offered, see Protocols
};

/// The places of the library's pointers in its two buffers while an idle connection has no buffers.
struct Parked {
  static constexpr size_t kPointers = 5;
  bool is_parked = false;
  std::array<uint16_t, kPointers> in_places{};
  std::array<uint16_t, kPointers> out_places{};
  std::array<unsigned char, 8> in_counter{};  // of records, which the library keeps in the buffer
};

struct Session::Parts {
  explicit Parts(net::Stream& stream) : socket(stream) {}

  net::Stream& socket;
  std::shared_ptr<const ServerNames> names;
  std::shared_ptr<const ServerContext> chosen;
  std::string server_name;
  std::string failure;
  std::string received;                         // bytes that were read and not yet given to the library
  size_t received_begin = 0;                    // of those that are left
  std::shared_ptr<const ClientContext> client;  // null on the server's side
  std::shared_ptr<SessionStore> sessions;
  Protocols offered = Protocols::kHttp1;  // on the server's side

  std::unique_ptr<ClientHello> hello;  // on the server's side, until it is whole
  Connection library;                  // of use once is_set_up
  Parked parked;
  bool is_set_up = false;
  bool is_resumed = false;
  bool is_socket_over = false;
  bool is_over = false;    // the peer sends nothing more
  bool is_broken = false;  // nothing works any more
  bool is_goodbye_said = false;
  bool is_self_signed = false;  // the server's certificate, for the reason of a failure
  size_t unsent = 0;            // of the user's bytes, in a record that the socket did not take whole
  size_t barren_bytes = 0;      // came since there was something for the user
};

/// "what (why)", or the library's own words when `what` is empty.
std::string describe_code(int code);
base::Error describe_fault(const std::string& what, int code);

// --- certificates.cpp
/// All certificates of a text, one at least; one that cannot be read fails them all.
base::Result<void> read_certificates(const std::string& pem, Certificates& certificates);
/// Certificate, chain and key. Errors begin with "cert: " or "key: ".
base::Result<void> read_pair(const CertificatePair& pair, OwnPair& own);

// --- peer.cpp
std::string_view find_extension(const mbedtls_x509_crt& certificate, std::string_view oid);
/// Whether a certificate is for a host or an address, by its alternative names alone.
bool is_for_name(const mbedtls_x509_crt& certificate, const std::string& name);
PeerCertificate describe_peer(const mbedtls_x509_crt& certificate);

// --- handshake.cpp
/// What every configuration has in common. `side` is MBEDTLS_SSL_IS_CLIENT or MBEDTLS_SSL_IS_SERVER.
base::Result<void> begin_config(mbedtls_ssl_config* config, int side, Version version_min,
                                Version version_max);
/// Makes the library's state under `config`, with the socket as its input and output.
bool set_up(Session::Parts& parts, const mbedtls_ssl_config* config);
/// Reads the client's first message and chooses the context; kOk when the library can go on from there.
net::IoStatus choose_context(Session::Parts& parts);

// --- tickets.cpp
int seal_ticket(void* context, const mbedtls_ssl_session* session, unsigned char* begin,
                const unsigned char* end, size_t* size, uint32_t* lifetime_s);
int open_ticket(void* context, mbedtls_ssl_session* session, unsigned char* ticket, size_t size);

// --- client_context.cpp
/// The session as bytes for the next handshake; empty when it cannot be resumed.
std::string pack_session(const mbedtls_ssl_context* library);
/// Offers a session of before, says whom the client wants and what is to be proved.
bool ask_for(Session::Parts& parts);
std::string describe_client_failure(const Session::Parts& parts, int code);

// --- buffers.cpp
/// Gives the library's buffers to others while nothing of this connection is in them.
void park_buffers(Session::Parts& parts);
void unpark_buffers(Session::Parts& parts);

}  // namespace moongate::tls
