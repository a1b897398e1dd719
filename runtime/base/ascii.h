// SPDX-License-Identifier: Apache-2.0
// Letters and digits of ASCII, whatever the locale. All other bytes are none of them, and stay as they are.
#pragma once

#include <string>

namespace moongate::base {

constexpr bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

inline std::string lower_case(std::string text) {
  for (char& c : text) c = to_lower(c);
  return text;
}

}  // namespace moongate::base
