// SPDX-License-Identifier: Apache-2.0
// What somebody else wrote, fit for a line of a log or a header.
#pragma once

#include <string>

namespace moongate::control {

/// The text without control characters: what is quoted must not begin a line of its own.
inline std::string one_line(std::string text) {
  for (char& c : text) c = static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  return text;
}

}  // namespace moongate::control
