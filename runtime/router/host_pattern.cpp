// SPDX-License-Identifier: Apache-2.0
// Parses the host patterns of host_pattern.h.
#include "router/host_pattern.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "base/ascii.h"
#include "router/address_set.h"

namespace moongate::router {

HostPattern parse_host_pattern(std::string_view text) {
  HostPattern pattern;
  pattern.text = text;
  pattern.is_suffix = text.starts_with('*');
  pattern.name = text.substr(pattern.is_suffix ? 1 : 0);
  size_t colon = pattern.name.find(':', pattern.name.starts_with('[') ? pattern.name.find(']') : 0);
  if (colon == text.npos) return pattern;
  std::string_view digits = pattern.name.substr(colon + 1);
  uint16_t port = 0;
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (code != std::errc() || end != digits.data() + digits.size() || port == 0) return pattern;
  pattern.port = port;
  pattern.name = pattern.name.substr(0, colon);
  return pattern;
}

base::Result<void> check_host_pattern(std::string_view text) {
  constexpr std::string_view kUsage = "; write NAME, *.NAME, NAME:PORT or [IPV6]:PORT";
  const HostPattern pattern = parse_host_pattern(text);
  const std::string quoted = "`" + std::string(text) + "`";
  if (text.empty()) return base::invalid("a host is empty" + std::string(kUsage));
  const bool is_bracketed = pattern.name.starts_with('[') && pattern.name.ends_with(']');
  const std::string_view bare = is_bracketed ? pattern.name.substr(1, pattern.name.size() - 2) : pattern.name;
  if (bare.find(':') != bare.npos) {
    if (parse_address(bare)) return {};
    return base::invalid(quoted + " has no port from 1 to 65535 and is no IPv6 address" +
                         std::string(kUsage));
  }
  const auto is_host_character = [](char c) {
    return base::is_alphanumeric(c) || std::string_view("-._").find(c) != std::string_view::npos;
  };
  if (is_bracketed || !std::all_of(bare.begin(), bare.end(), is_host_character))
    return base::invalid(quoted + " is no host" + std::string(kUsage));
  return {};
}

}  // namespace moongate::router
