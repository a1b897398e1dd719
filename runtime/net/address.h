// SPDX-License-Identifier: Apache-2.0
// A place to listen on or connect to: IPv4, IPv6 or a unix socket.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace moongate::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  /// 0 for unix sockets.
  uint16_t port() const;
  /// "127.0.0.1", "::1" or "unix:PATH"; no port, no brackets.
  std::string host_text() const;
  /// "127.0.0.1:80", "[::1]:80" or "unix:PATH".
  std::string text() const;
  bool operator==(const SocketAddress& other) const;
};

/// A host as it stands before a port: "[::1]" for "::1", anything else as it is.
std::string bracketed(std::string host);

/// From an IP literal (brackets allowed) and a port. Never resolves names.
base::Result<SocketAddress> make_ip_address(std::string_view host, uint16_t port);
base::Result<SocketAddress> make_unix_address(std::string_view path);
/// "8080", "127.0.0.1:8080", "[::1]:8080" or "unix:PATH"; a bare port means every IPv4 address.
base::Result<SocketAddress> parse_listen_address(std::string_view text);
/// True for an IPv4 or IPv6 literal (with or without brackets).
bool is_ip_literal(std::string_view host);

}  // namespace moongate::net
