// SPDX-License-Identifier: Apache-2.0
// What the library asks during a handshake: which name, which protocol, which ticket key. And how it reaches
// the socket.
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/ascii.h"
#include "base/assert.h"
#include "tls/openssl/parts.h"
#include "tls/ticket_keys.h"

namespace moongate::tls {

using net::IoStatus;

namespace {

constexpr size_t kBarrenMaxBytes = 128 * 1024;      // several handshakes' worth
constexpr size_t kBarrenLaterMaxBytes = 32 * 1024;  // behind one: two records, or a thousand changes of keys

// --- the socket

Session::Parts& parts_of(BIO* bio) { return *static_cast<Session::Parts*>(BIO_get_data(bio)); }

int read_socket(BIO* bio, char* buffer, size_t size, size_t* got) {
  std::string& received = parts_of(bio).received;
  net::Stream& socket = parts_of(bio).socket;
  BIO_clear_retry_flags(bio);
  if (!received.empty()) {
    *got = std::min(size, received.size());
    std::memcpy(buffer, received.data(), *got);
    received.erase(0, *got);
    return 1;
  }
  *got = 0;
  if (is_barren(parts_of(bio))) return 0;
  // A socket that is known to be empty is not asked again: there will be an edge.
  const net::IoResult result =
      socket.may_read() ? socket.read(buffer, size) : net::IoResult{IoStatus::kBlocked, 0};
  if (result.status == IoStatus::kBlocked) BIO_set_retry_read(bio);
  if (result.status == IoStatus::kEof) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  *got = result.size;
  parts_of(bio).barren_bytes += result.size;
  return result.status == IoStatus::kOk ? 1 : 0;
}

int write_socket(BIO* bio, const char* data, size_t size, size_t* sent) {
  net::Stream& socket = parts_of(bio).socket;
  BIO_clear_retry_flags(bio);
  *sent = 0;
  const net::IoResult result =
      socket.may_write() ? socket.write(data, size) : net::IoResult{IoStatus::kBlocked, 0};
  if (result.status == IoStatus::kBlocked) BIO_set_retry_write(bio);
  *sent = result.size;
  return result.status == IoStatus::kOk ? 1 : 0;
}

long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

BIO_METHOD* make_method() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "moongate socket");
  MG_ASSERT(method != nullptr);
  BIO_meth_set_read_ex(method, read_socket);
  BIO_meth_set_write_ex(method, write_socket);
  BIO_meth_set_ctrl(method, control_socket);
  return method;
}

// --- the name

/// Takes the host name out of the server_name extension (RFC 6066 3). False when it is malformed.
bool read_server_name(SSL* library, std::string* name) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(library, TLSEXT_TYPE_server_name, &data, &size) != 1) return true;
  const auto number = [data](size_t at) { return static_cast<size_t>(data[at]) << 8 | data[at + 1]; };
  if (size < 5 || number(0) != size - 2 || data[2] != TLSEXT_NAMETYPE_host_name) return false;
  const size_t name_size = number(3);
  if (name_size != size - 5 || name_size == 0 || name_size > TLSEXT_MAXLEN_host_name) return false;
  const std::string_view text(reinterpret_cast<const char*>(data) + 5, name_size);
  if (text.find('\0') != text.npos) return false;
  name->assign(text);
  return true;
}

// Runs before anything else of the client's first message is acted on, so that versions, tickets and the
// question for a client certificate are those of the name.
int choose_context(SSL* library, int* alert, void*) {
  auto& parts = *static_cast<Session::Parts*>(SSL_get_app_data(library));
  std::string name;
  if (!read_server_name(library, &name)) {
    *alert = SSL_AD_DECODE_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  for (char& c : name) c = base::to_lower(c);
  if (parts.chosen != nullptr && name != parts.server_name) {
    *alert = SSL_AD_ILLEGAL_PARAMETER;  // a second hello is the first one with another key
    return SSL_CLIENT_HELLO_ERROR;
  }
  parts.server_name = std::move(name);
  if (SSL_client_hello_get0_legacy_version(library) <= SSL3_VERSION) {
    *alert = SSL_AD_PROTOCOL_VERSION;  // RFC 8446 D.5, whatever else it offers
    return SSL_CLIENT_HELLO_ERROR;
  }
  parts.chosen = parts.names ? parts.names->find(parts.server_name) : nullptr;
  if (parts.chosen == nullptr || !parts.chosen->has_certificate()) {
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
  }
  const ServerContext::Parts& chosen = parts.chosen->parts();
  SSL_set_SSL_CTX(library, chosen.library.get());
  SSL_set_min_proto_version(library, chosen.version_min);
  SSL_set_max_proto_version(library, chosen.version_max);
  SSL_set_verify(library, chosen.verify_mode, chosen.on_verified);
  SSL_set_verify_depth(library, chosen.verify_depth);
  return SSL_CLIENT_HELLO_SUCCESS;
}

// --- the protocol

constexpr std::string_view kHttp1 = "http/1.1";
constexpr std::string_view kHttp2 = "h2";

// A client that offers protocols and none of ours is told so: what it would send could not be understood.
int choose_protocol(SSL* library, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int size, void*) {
  auto& parts = *static_cast<Session::Parts*>(SSL_get_app_data(library));
  bool is_found = false;
  for (unsigned int at = 0; at < size;) {
    const unsigned int length = offered[at];
    if (length == 0 || at + 1 + length > size) return SSL_TLSEXT_ERR_ALERT_FATAL;
    const std::string_view name(reinterpret_cast<const char*>(offered) + at + 1, length);
    const bool is_http2 = parts.offered != Protocols::kHttp1 && name == kHttp2;
    const bool is_http1 = parts.offered != Protocols::kHttp2 && name == kHttp1;
    if (is_http2 || (is_http1 && !parts.is_http2)) {
      *chosen = offered + at + 1;
      *chosen_size = static_cast<unsigned char>(length);
      parts.is_http2 = is_http2;
      is_found = true;
    }
    at += 1 + length;
  }
  return is_found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// --- tickets

// Found once: with each handshake the library would look through its providers.
const EVP_CIPHER* ticket_cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  MG_ASSERT(cipher != nullptr);
  return cipher;
}

bool use_key(const TicketKey& key, const unsigned char* iv, bool is_sealing, EVP_CIPHER_CTX* cipher,
             EVP_MAC_CTX* mac) {
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.mac_key.data()),
                                        key.mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      OSSL_PARAM_construct_end()};
  return EVP_CipherInit_ex(cipher, ticket_cipher(), nullptr, key.cipher_key.data(), iv, is_sealing ? 1 : 0) ==
             1 &&
         EVP_MAC_CTX_set_params(mac, params) == 1;
}

// 1 goes on, 2 goes on and makes a new ticket, 0 means a whole handshake, -1 ends it.
int find_ticket_key(SSL*, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                    int is_sealing) {
  TicketKeys& keys = TicketKeys::of_process();
  keys.advance(base::Clock::wall());
  const TicketKey& current = keys.current();
  if (is_sealing == 1) {
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(ticket_cipher())) != 1) return -1;
    std::memcpy(name, current.name.data(), current.name.size());
    return use_key(current, iv, true, cipher, mac) ? 1 : -1;
  }
  if (std::memcmp(name, current.name.data(), current.name.size()) == 0)
    return use_key(current, iv, false, cipher, mac) ? 1 : -1;
  if (std::memcmp(name, keys.former().name.data(), keys.former().name.size()) == 0)
    return use_key(keys.former(), iv, false, cipher, mac) ? 2 : -1;
  return 0;
}

}  // namespace

bool is_barren(const Session::Parts& parts) {
  const bool is_agreed = SSL_is_init_finished(parts.library.get()) == 1;
  return parts.barren_bytes > (is_agreed ? kBarrenLaterMaxBytes : kBarrenMaxBytes);
}

BIO* make_socket_bio(Session::Parts* parts) {
  static BIO_METHOD* const method = make_method();
  BIO* bio = BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, parts);
  BIO_set_init(bio, 1);
  return bio;
}

int library_version(Version version) {
  switch (version) {
    case Version::kTls11:
      return TLS1_1_VERSION;
    case Version::kTls12:
      return TLS1_2_VERSION;
    case Version::kTls13:
      return TLS1_3_VERSION;
  }
  return TLS1_3_VERSION;
}

void set_common_options(SSL_CTX* library) {
  SSL_CTX_set_min_proto_version(library, TLS1_2_VERSION);
  SSL_CTX_set_options(library, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // One system call brings a whole record, and what an idle connection does not need is given back.
  SSL_CTX_set_read_ahead(library, 1);
  SSL_CTX_set_mode(library, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
}

std::unique_ptr<SSL_CTX, ContextFree> make_server_library() {
  std::unique_ptr<SSL_CTX, ContextFree> library(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = library.get();
  if (context == nullptr) return library;
  set_common_options(context);
  SSL_CTX_set_options(
      context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Of TLS 1.2 only what has forward secrecy and authenticated encryption.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // All three are strong. The hash of a suite makes every key of a handshake, and SHA-256 has instructions.
  SSL_CTX_set_ciphersuites(context,
                           "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  // The library knows groups of finite fields as well, whose keys cost a hundred times as much to make.
  MG_ASSERT(SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384:P-521") == 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_timeout(context, 24 * 3600);
  SSL_CTX_set_client_hello_cb(context, choose_context, nullptr);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_tlsext_status_cb(context, send_staple);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, find_ticket_key);
  return library;
}

}  // namespace moongate::tls
