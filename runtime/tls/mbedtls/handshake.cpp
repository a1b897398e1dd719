// SPDX-License-Identifier: Apache-2.0
// How the library reaches the socket, what all its configurations have in common, and what is decided when
// the client has said which name it wants.
#include <mbedtls/net_sockets.h>

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;
using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kReadBytes = 17 * 1024;        // a record with its head
constexpr size_t kBarrenMaxBytes = 128 * 1024;  // several handshakes' worth
constexpr size_t kDirectReadBytes = 4096;       // from here on the library's buffer is read into

// --- the socket

// The system's own source of random bytes has no state here, which a fork could double.
int fill_random(void*, unsigned char* bytes, size_t size) {
  return base::fill_random(reinterpret_cast<char*>(bytes), size) ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

IoResult read_plainly(net::Stream& socket, char* buffer, size_t size) {
  // A socket that is known to be empty is not asked again: there will be an edge.
  return socket.may_read() ? socket.read(buffer, size) : IoResult{IoStatus::kBlocked, 0};
}

/// One system call's worth of bytes into `received`, so that a record costs one and not two.
IoStatus read_ahead(Session::Parts& parts) {
  static thread_local char buffer[kReadBytes];
  const IoResult result = read_plainly(parts.socket, buffer, sizeof buffer);
  if (result.status == IoStatus::kOk) parts.received.append(buffer, result.size);
  return result.status;
}

void drop_received(Session::Parts& parts, size_t size) {
  parts.received_begin += size;
  if (parts.received_begin < parts.received.size()) return;
  std::string().swap(parts.received);
  parts.received_begin = 0;
}

int library_status(Session::Parts& parts, IoStatus status) {
  parts.is_socket_over = status != IoStatus::kBlocked;
  if (status == IoStatus::kBlocked) return MBEDTLS_ERR_SSL_WANT_READ;
  return status == IoStatus::kEof ? 0 : MBEDTLS_ERR_NET_CONN_RESET;
}

int read_socket(void* argument, unsigned char* bytes, size_t size) {
  auto& parts = *static_cast<Session::Parts*>(argument);
  if (parts.barren_bytes > kBarrenMaxBytes) return MBEDTLS_ERR_NET_RECV_FAILED;
  if (parts.received.empty() && size >= kDirectReadBytes) {
    const IoResult result = read_plainly(parts.socket, reinterpret_cast<char*>(bytes), size);
    parts.barren_bytes += result.size;
    return result.status == IoStatus::kOk ? static_cast<int>(result.size)
                                          : library_status(parts, result.status);
  }
  if (parts.received.empty()) {
    const IoStatus status = read_ahead(parts);
    if (status != IoStatus::kOk) return library_status(parts, status);
  }
  const size_t part = std::min(size, parts.received.size() - parts.received_begin);
  std::memcpy(bytes, parts.received.data() + parts.received_begin, part);
  drop_received(parts, part);
  parts.barren_bytes += part;
  return static_cast<int>(part);
}

int write_socket(void* argument, const unsigned char* bytes, size_t size) {
  net::Stream& socket = static_cast<Session::Parts*>(argument)->socket;
  if (!socket.may_write()) return MBEDTLS_ERR_SSL_WANT_WRITE;
  const IoResult result = socket.write(reinterpret_cast<const char*>(bytes), size);
  if (result.status == IoStatus::kBlocked) return MBEDTLS_ERR_SSL_WANT_WRITE;
  return result.status == IoStatus::kOk ? static_cast<int>(result.size) : MBEDTLS_ERR_NET_CONN_RESET;
}

// --- the name

/// Ends a handshake that the library has not begun.
IoStatus refuse(Session::Parts& parts, Alert alert, std::string failure) {
  const char record[] = {21, 3, 3, 0, 2, 2, static_cast<char>(alert)};
  if (parts.socket.may_write()) (void)parts.socket.write(record, sizeof record);
  parts.failure = std::move(failure);
  parts.is_broken = true;
  return IoStatus::kError;
}

IoStatus begin_with(Session::Parts& parts) {
  parts.server_name = parts.hello->server_name();
  parts.chosen = parts.names ? parts.names->find(parts.server_name) : nullptr;
  if (parts.chosen == nullptr || !parts.chosen->has_certificate())
    return refuse(parts, kUnrecognizedName, "there is no certificate for that name");
  std::string rest = parts.received.substr(parts.received_begin);
  parts.received = parts.hello->make_record() + rest;
  parts.received_begin = 0;
  parts.hello.reset();
  const ServerContext::Parts& chosen = parts.chosen->parts();
  const Config& config = chosen.configs[static_cast<size_t>(parts.offered)];
  if (set_up(parts, config.get())) return IoStatus::kOk;
  parts.failure = "no memory for another connection";
  parts.is_broken = true;
  return IoStatus::kError;
}

}  // namespace

IoStatus choose_context(Session::Parts& parts) {
  while (true) {
    const std::string_view bytes = std::string_view(parts.received).substr(parts.received_begin);
    size_t used = 0;
    const ClientHello::Status status = parts.hello->take(bytes, &used);
    drop_received(parts, used);
    if (status == ClientHello::Status::kWhole) return begin_with(parts);
    if (status == ClientHello::Status::kBroken)
      return refuse(parts, parts.hello->alert(), "the client began with something that is no ClientHello");
    const IoStatus read = read_ahead(parts);
    if (read == IoStatus::kBlocked) return read;
    if (read != IoStatus::kOk) {
      parts.is_broken = true;
      return IoStatus::kError;
    }
  }
}

bool set_up(Session::Parts& parts, const mbedtls_ssl_config* config) {
  if (mbedtls_ssl_setup(parts.library.get(), config) != 0) return false;
  mbedtls_ssl_set_bio(parts.library.get(), &parts, write_socket, read_socket, nullptr);
  parts.is_set_up = true;
  return true;
}

Result<void> begin_config(mbedtls_ssl_config* config, int side, Version version_min, Version version_max) {
  static constexpr mbedtls_ecp_group_id kCurves[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
                                                     MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
                                                     MBEDTLS_ECP_DP_NONE};
  static constexpr int kHashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512, MBEDTLS_MD_NONE};
  if (version_min == Version::kTls13)
    return base::invalid(
        "this build has no TLSv1.3, it uses mbedTLS 2.28; allow TLSv1.2, or use the build with OpenSSL");
  const int fault =
      mbedtls_ssl_config_defaults(config, side, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  if (fault != 0) return describe_fault("no memory for another TLS context", fault);
  const auto library_version = [](Version version) {
    return version == Version::kTls11 ? MBEDTLS_SSL_MINOR_VERSION_2 : MBEDTLS_SSL_MINOR_VERSION_3;
  };
  mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, library_version(version_min));
  mbedtls_ssl_conf_max_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, library_version(version_max));
  mbedtls_ssl_conf_rng(config, fill_random, nullptr);
  mbedtls_ssl_conf_curves(config, kCurves);
  mbedtls_ssl_conf_sig_hashes(config, kHashes);
  mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
  return {};
}

}  // namespace moongate::tls
