// SPDX-License-Identifier: Apache-2.0
#include "tls/quic_handshake.h"

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include <type_traits>
#include <vector>

#include "base/ascii.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "tls/client_chain.h"
#include "tls/digest.h"
#include "tls/ticket_keys.h"

namespace moongate::tls {

using base::Result;

struct QuicCredentials::Parts {
  ~Parts() {
    if (library != nullptr) gnutls_certificate_free_credentials(library);
  }
  gnutls_certificate_credentials_t library = nullptr;
  bool is_client_required = false;
};

struct QuicHandshake::Parts {
  ~Parts() {
    if (library != nullptr) gnutls_deinit(library);
  }
  gnutls_session_t library = nullptr;
  std::shared_ptr<const ServerNames> names;
  std::shared_ptr<const ServerContext> chosen;
  std::string server_name;
  std::string client_der;     // of the client's own certificate; empty: it showed none
  base::WallTime client_end;  // of that certificate
  bool is_client_trusted = false;
  bool may_be_resumed = false;
  std::string failure;
};

namespace {

// What every certificate of ours does in TLS 1.3 (openssl/handshake.cpp has the same), and nothing older.
constexpr const char* kPriorities =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-GROUP-ALL:"
    "+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%DISABLE_TLS13_COMPAT_MODE:%SERVER_"
    "PRECEDENCE";

gnutls_priority_t priorities() {
  static const gnutls_priority_t shared = [] {
    gnutls_priority_t made = nullptr;
    MG_ASSERT(gnutls_priority_init(&made, kPriorities, nullptr) == GNUTLS_E_SUCCESS);
    return made;
  }();
  return shared;
}

constexpr size_t kTicketKeyBytes = 64;
using TicketKeyBytes = char[kTicketKeyBytes];
static_assert(kTicketKeyBytes <= kDigestMaxBytes);

/// A key for tickets of one name under the rules that it has for clients, so that a session is not resumed
/// under another name, nor after its rules have changed.
bool make_ticket_key(const ServerContext& context, std::string_view name, TicketKeyBytes& out) {
  TicketKeys& keys = TicketKeys::of_process();
  keys.advance(base::Clock::wall());
  const TicketKey& current = keys.current();
  std::string secret(reinterpret_cast<const char*>(current.cipher_key.data()), current.cipher_key.size());
  secret.append(reinterpret_cast<const char*>(current.mac_key.data()), current.mac_key.size());
  std::string scope = "moongate quic ticket" + context.client_scope();
  scope.append(1, '\0').append(name);
  const size_t size = hmac("sha512", secret, scope, out);
  gnutls_memset(secret.data(), 0, secret.size());
  return size == kTicketKeyBytes;
}

/// Always sets a key: without one the library would open tickets that are sealed with zeros. Where clients
/// show certificates it is one that no ticket was ever sealed with, so that each shows its own each time.
bool use_ticket_key(gnutls_session_t library, QuicHandshake::Parts& parts) {
  TicketKeyBytes bytes;
  parts.may_be_resumed = !parts.chosen->wants_client_certificate();
  const bool is_made = parts.may_be_resumed ? make_ticket_key(*parts.chosen, parts.server_name, bytes)
                                            : base::fill_random(bytes, sizeof bytes);
  const gnutls_datum_t key{reinterpret_cast<unsigned char*>(bytes), sizeof bytes};
  const bool is_used = is_made && gnutls_session_ticket_enable_server(library, &key) == GNUTLS_E_SUCCESS;
  gnutls_memset(bytes, 0, sizeof bytes);
  return is_used;
}

// The pointer behind a session is the QUIC library's; this one is for a cache of sessions, and there is none.
QuicHandshake::Parts& parts_of(gnutls_session_t library) {
  return *static_cast<QuicHandshake::Parts*>(gnutls_db_get_ptr(library));
}

/// The name the client asks for. False when it is no name.
bool read_server_name(gnutls_session_t library, std::string* name) {
  char text[256];
  size_t size = sizeof text;
  unsigned type = 0;
  const int code = gnutls_server_name_get(library, text, &size, &type, 0);
  if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) return true;
  if (code != GNUTLS_E_SUCCESS || type != GNUTLS_NAME_DNS) return false;
  while (size > 0 && text[size - 1] == '\0') size--;
  name->assign(text, size);
  return name->find('\0') == std::string::npos;
}

// Before anything of the client's first message is acted on.
int choose_credentials(gnutls_session_t library) {
  QuicHandshake::Parts& parts = parts_of(library);
  std::string name;
  if (!read_server_name(library, &name)) return GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER;
  for (char& c : name) c = base::to_lower(c);
  const bool is_second = parts.chosen != nullptr;  // the client was asked for another key
  if (is_second && name != parts.server_name) return GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER;
  if (is_second) return 0;
  parts.server_name = std::move(name);
  parts.chosen = parts.names ? parts.names->find(parts.server_name) : nullptr;
  const bool is_certified = parts.chosen && parts.chosen->has_certificate();
  const QuicCredentials* credentials = is_certified ? parts.chosen->quic() : nullptr;
  if (credentials == nullptr) {
    parts.failure = is_certified ? "its certificate is not for TLS 1.3" : "no certificate is for that name";
    return GNUTLS_E_UNRECOGNIZED_NAME;
  }
  const QuicCredentials::Parts& chosen = credentials->parts();
  gnutls_credentials_set(library, GNUTLS_CRD_CERTIFICATE, chosen.library);
  if (parts.chosen->wants_client_certificate())
    gnutls_certificate_server_set_request(
        library, chosen.is_client_required ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
  return use_ticket_key(library, parts) ? 0 : GNUTLS_E_INTERNAL_ERROR;
}

// The same judgement as on connections of TCP. Where a certificate is optional the verdict is kept for
// requests.
int judge_client(gnutls_session_t library) {
  QuicHandshake::Parts& parts = parts_of(library);
  unsigned count = 0;
  const gnutls_datum_t* all = gnutls_certificate_get_peers(library, &count);
  const bool is_required = parts.chosen->quic()->parts().is_client_required;
  if (all == nullptr || count == 0) return is_required ? GNUTLS_E_NO_CERTIFICATE_FOUND : 0;
  std::vector<std::string_view> chain;
  for (unsigned i = 0; i < count; i++)
    chain.emplace_back(reinterpret_cast<const char*>(all[i].data), all[i].size);
  parts.client_der = chain[0];
  parts.client_end = end_of(parts.client_der);
  parts.is_client_trusted = leads_to_authority(*parts.chosen, chain);
  if (parts.is_client_trusted || !is_required) return 0;
  parts.failure = "the client's certificate does not lead to the authority that is asked for";
  return GNUTLS_E_CERTIFICATE_ERROR;
}

base::Error describe_fault(const std::string& what, int code) {
  return base::invalid(what + " (" + gnutls_strerror(code) + ")");
}

gnutls_datum_t datum(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
          static_cast<unsigned>(text.size())};
}

}  // namespace

QuicCredentials::QuicCredentials() : parts_(std::make_unique<Parts>()) {}
QuicCredentials::~QuicCredentials() = default;

Result<std::shared_ptr<const QuicCredentials>> QuicCredentials::make(const ServerOptions& options) {
  std::shared_ptr<QuicCredentials> made(new QuicCredentials);
  Parts& parts = *made->parts_;
  if (gnutls_certificate_allocate_credentials(&parts.library) != GNUTLS_E_SUCCESS)
    return base::invalid("no memory for another certificate");
  for (const CertificatePair& pair : options.certificates) {
    const gnutls_datum_t certificate = datum(pair.certificate_pem), key = datum(pair.key_pem);
    const int code = gnutls_certificate_set_x509_key_mem2(parts.library, &certificate, &key,
                                                          GNUTLS_X509_FMT_PEM, nullptr, 0);
    if (code < 0) return describe_fault("cert: HTTP/3 cannot use it", code);
  }
  if (!options.client_ca_pem.empty()) {
    const gnutls_datum_t authorities = datum(options.client_ca_pem);  // only to be named to clients
    const int code = gnutls_certificate_set_x509_trust_mem(parts.library, &authorities, GNUTLS_X509_FMT_PEM);
    if (code < 0) return describe_fault("client.ca: HTTP/3 cannot use it", code);
    gnutls_certificate_set_verify_function(parts.library, judge_client);
    parts.is_client_required = !options.is_client_optional;
  }
  return std::shared_ptr<const QuicCredentials>(std::move(made));
}

QuicHandshake::QuicHandshake(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
QuicHandshake::~QuicHandshake() = default;

std::unique_ptr<QuicHandshake> QuicHandshake::accept(std::shared_ptr<const ServerNames> names, void* user) {
  auto parts = std::make_unique<Parts>();
  parts->names = std::move(names);
  constexpr unsigned kFlags = GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET;  // nothing comes before the keys
  if (gnutls_init(&parts->library, kFlags) != GNUTLS_E_SUCCESS) return nullptr;
  gnutls_session_t library = parts->library;
  gnutls_db_set_ptr(library, parts.get());
  gnutls_session_set_ptr(library, user);
  gnutls_db_set_cache_expiration(library, std::chrono::seconds(TicketKeys::kPeriod).count());
  static constexpr char kProtocol[] = "h3";
  const gnutls_datum_t protocol{reinterpret_cast<unsigned char*>(const_cast<char*>(kProtocol)), 2};
  if (ngtcp2_crypto_gnutls_configure_server_session(library) != 0 ||
      gnutls_priority_set(library, priorities()) != GNUTLS_E_SUCCESS ||
      gnutls_alpn_set_protocols(library, &protocol, 1, GNUTLS_ALPN_MANDATORY) != GNUTLS_E_SUCCESS)
    return nullptr;
  gnutls_handshake_set_post_client_hello_function(library, choose_credentials);
  return std::unique_ptr<QuicHandshake>(new QuicHandshake(std::move(parts)));
}

bool QuicHandshake::is_resumed() const { return gnutls_session_is_resumed(parts_->library) != 0; }

bool QuicHandshake::send_ticket() {
  return !parts_->may_be_resumed || gnutls_session_ticket_send(parts_->library, 1, 0) == GNUTLS_E_SUCCESS;
}

void* QuicHandshake::library() const { return parts_->library; }
std::string_view QuicHandshake::server_name() const { return parts_->server_name; }
const ServerContext* QuicHandshake::context() const { return parts_->chosen.get(); }
std::string QuicHandshake::describe_failure() const { return parts_->failure; }

// In the words of OpenSSL, which is what other connections have.
std::string_view QuicHandshake::cipher() const {
  switch (gnutls_cipher_get(parts_->library)) {
    case GNUTLS_CIPHER_AES_128_GCM:
      return "TLS_AES_128_GCM_SHA256";
    case GNUTLS_CIPHER_AES_256_GCM:
      return "TLS_AES_256_GCM_SHA384";
    case GNUTLS_CIPHER_CHACHA20_POLY1305:
      return "TLS_CHACHA20_POLY1305_SHA256";
    default:
      return "";
  }
}

PeerCertificate QuicHandshake::peer() const {
  if (parts_->client_der.empty()) return {};
  PeerCertificate peer = describe_certificate(std::string_view(parts_->client_der));
  peer.is_verified = peer.is_present && parts_->is_client_trusted;
  return peer;
}

bool QuicHandshake::has_verified_peer() const {
  return parts_->is_client_trusted && parts_->client_end > base::Clock::wall();
}

}  // namespace moongate::tls
