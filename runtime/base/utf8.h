// SPDX-License-Identifier: Apache-2.0
// One question about bytes: does a well-formed UTF-8 character (RFC 3629: no overlong form, no surrogate,
// nothing above U+10FFFF) start here, and how long is it? JSON and YAML both refuse text that is anything
// else.
#pragma once

#include <cstddef>
#include <string_view>

namespace moongate::base {

/// The length in bytes of the character at `at`, 1 to 4; 0 when no well-formed one starts there.
inline size_t utf8_length(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const auto byte = [&](size_t offset) { return static_cast<unsigned char>(text[at + offset]); };
  const auto tails = [&](size_t count) {
    if (text.size() - at <= count) return false;
    for (size_t i = 1; i <= count; ++i) {
      if ((byte(i) & 0xC0) != 0x80) return false;
    }
    return true;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return tails(1) ? 2 : 0;
  if (lead < 0xF0) {
    if (!tails(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead > 0xF4 || !tails(3)) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return 4;
}

inline bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace moongate::base
