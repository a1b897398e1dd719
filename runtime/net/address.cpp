// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace moongate::net {

using base::Result;

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return 0;
}

std::string bracketed(std::string host) {
  const bool is_bare = host.find(':') != host.npos && host.front() != '[';
  return is_bare ? "[" + host + "]" : host;
}

std::string SocketAddress::host_text() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  } else if (family() == AF_INET6) {
    const auto* address = reinterpret_cast<const sockaddr_in6*>(&storage);
    if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
      ::inet_ntop(AF_INET, &address->sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    }
  } else if (family() == AF_UNIX) {
    return std::string("unix:") + reinterpret_cast<const sockaddr_un*>(&storage)->sun_path;
  }
  return text;
}

std::string SocketAddress::text() const {
  if (family() == AF_UNIX) return host_text();
  return bracketed(host_text()) + ":" + std::to_string(port());
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
}

Result<SocketAddress> make_ip_address(std::string_view host, uint16_t port) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  std::string text(host);
  SocketAddress out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.size = sizeof(sockaddr_in);
    return out;
  }
  out.storage = {};
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out.size = sizeof(sockaddr_in6);
    return out;
  }
  return base::invalid("\"" + text + "\" is no IP address");
}

Result<SocketAddress> make_unix_address(std::string_view path) {
  SocketAddress out;
  auto* address = reinterpret_cast<sockaddr_un*>(&out.storage);
  if (path.empty() || path.size() >= sizeof(address->sun_path)) {
    return base::invalid("unix socket path \"" + std::string(path) + "\" must have 1 to 107 bytes");
  }
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.data(), path.size());
  address->sun_path[path.size()] = 0;
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

Result<SocketAddress> parse_listen_address(std::string_view text) {
  if (text.substr(0, 5) == "unix:") return make_unix_address(text.substr(5));
  std::string_view host = "0.0.0.0";
  std::string_view port_text = text;
  size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
  }
  unsigned port = 0;
  auto [end, fault] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (fault != std::errc() || end != port_text.data() + port_text.size() || port > 65535) {
    return base::invalid(
        "\"" + std::string(text) +
        "\" is no listening address; write 8080, \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:PATH\"");
  }
  return make_ip_address(host, static_cast<uint16_t>(port));
}

bool is_ip_literal(std::string_view host) { return make_ip_address(host, 0).ok(); }

}  // namespace moongate::net
