// SPDX-License-Identifier: Apache-2.0
// Parses the host patterns of host_pattern.h.
#include "router/host_pattern.h"

#include <charconv>

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

}  // namespace moongate::router
