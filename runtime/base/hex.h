// SPDX-License-Identifier: Apache-2.0
// Bytes as hexadecimal digits: ids, keys and digests in lower case, escapes as their formats want them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::base {

inline constexpr std::string_view kHexLower = "0123456789abcdef";
inline constexpr std::string_view kHexUpper = "0123456789ABCDEF";

/// Writes two digits for each byte; returns where they end.
constexpr char* write_hex(std::string_view bytes, char* out, std::string_view digits = kHexLower) {
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 15];
  }
  return out;
}

inline std::string to_hex(std::string_view bytes, std::string_view digits = kHexLower) {
  std::string text(bytes.size() * 2, '\0');
  write_hex(bytes, text.data(), digits);
  return text;
}

}  // namespace moongate::base
