// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>

#include "net/address.h"

namespace moongate::proxy {
namespace {

constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kSignature1 = "PROXY ";
constexpr size_t kLine1MaxBytes = 107;
constexpr size_t kBody2MaxBytes = 4096;

bool parse_port(std::string_view text, uint16_t* port) {
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), *port);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

ProxyHeaderStatus parse_version1(std::string_view bytes, ProxyHeader* out) {
  size_t end = bytes.find("\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() >= kLine1MaxBytes ? ProxyHeaderStatus::kBad : ProxyHeaderStatus::kIncomplete;
  }
  if (end + 2 > kLine1MaxBytes) return ProxyHeaderStatus::kBad;
  out->size = end + 2;
  std::string_view line = bytes.substr(kSignature1.size(), end - kSignature1.size());
  if (line.substr(0, 7) == "UNKNOWN") return ProxyHeaderStatus::kDone;
  std::array<std::string_view, 5> words;
  size_t count = 0;
  bool is_ended = false;
  while (count < words.size() && !is_ended) {
    size_t space = line.find(' ');
    words[count++] = line.substr(0, space);
    is_ended = space == std::string_view::npos;
    if (!is_ended) line.remove_prefix(space + 1);
  }
  uint16_t unused = 0;
  if (count != 5 || !is_ended || (words[0] != "TCP4" && words[0] != "TCP6")) return ProxyHeaderStatus::kBad;
  auto source = net::make_ip_address(words[1], 0);
  auto target = net::make_ip_address(words[2], 0);
  int family = words[0] == "TCP4" ? AF_INET : AF_INET6;
  if (!source || !target || source->family() != family || target->family() != family)
    return ProxyHeaderStatus::kBad;
  if (!parse_port(words[3], &out->source_port) || !parse_port(words[4], &unused))
    return ProxyHeaderStatus::kBad;
  out->source = source->host_text();
  out->has_source = true;
  return ProxyHeaderStatus::kDone;
}

ProxyHeaderStatus parse_version2(std::string_view bytes, ProxyHeader* out) {
  if (bytes.size() < 16) return ProxyHeaderStatus::kIncomplete;
  auto at = [&](size_t index) { return static_cast<unsigned char>(bytes[index]); };
  size_t body_size = static_cast<size_t>(at(14)) << 8 | at(15);
  unsigned command = at(12) & 0x0f;
  if (at(12) >> 4 != 2 || command > 1 || body_size > kBody2MaxBytes) return ProxyHeaderStatus::kBad;
  if (bytes.size() < 16 + body_size) return ProxyHeaderStatus::kIncomplete;
  out->size = 16 + body_size;
  unsigned family = at(13) >> 4;
  if (command == 0 || family == 0) return ProxyHeaderStatus::kDone;
  char text[INET6_ADDRSTRLEN];
  size_t port_at = 0;
  if (family == 1 && body_size >= 12) {
    ::inet_ntop(AF_INET, bytes.data() + 16, text, sizeof text);
    port_at = 24;
  } else if (family == 2 && body_size >= 36) {
    ::inet_ntop(AF_INET6, bytes.data() + 16, text, sizeof text);
    port_at = 48;
  } else {
    return family == 3 ? ProxyHeaderStatus::kDone : ProxyHeaderStatus::kBad;
  }
  out->source = text;
  out->source_port = static_cast<uint16_t>(at(port_at) << 8 | at(port_at + 1));
  out->has_source = true;
  return ProxyHeaderStatus::kDone;
}

}  // namespace

ProxyHeaderStatus parse_proxy_header(std::string_view bytes, ProxyHeader* out) {
  *out = {};
  size_t common1 = std::min(bytes.size(), kSignature1.size());
  if (bytes.substr(0, common1) == kSignature1.substr(0, common1)) {
    return common1 < kSignature1.size() ? ProxyHeaderStatus::kIncomplete : parse_version1(bytes, out);
  }
  size_t common2 = std::min(bytes.size(), kSignature2.size());
  if (bytes.substr(0, common2) == kSignature2.substr(0, common2)) {
    return common2 < kSignature2.size() ? ProxyHeaderStatus::kIncomplete : parse_version2(bytes, out);
  }
  return ProxyHeaderStatus::kBad;
}

}  // namespace moongate::proxy
