// SPDX-License-Identifier: Apache-2.0
// Requests as an HTTP/3 client writes them, for tests: fields that stand for themselves (RFC 9204 4.5.6), no
// table needed.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace moongate::fuzz {

inline std::string literal(std::string_view name, std::string_view value) {
  const size_t name_size = std::min<size_t>(name.size(), 6), value_size = std::min<size_t>(value.size(), 100);
  return std::string(1, static_cast<char>(0x20 | name_size)) + std::string(name.substr(0, name_size)) +
         std::string(1, static_cast<char>(value_size)) + std::string(value.substr(0, value_size));
}

/// A HEADERS frame: GET of `text` up to its first line's end; each line behind it is `name value`.
inline std::string make_head(std::string_view text) {
  // :method GET, :scheme https, :authority and :path by the static table's names.
  const std::string_view path = text.substr(0, std::min<size_t>(text.find('\n'), 60));
  std::string block(
      "\0\0\xd1\xd7\x50\x01"
      "a\x51",
      8);
  block += std::string(1, static_cast<char>(path.size() + 1)) + "/" + std::string(path);
  text.remove_prefix(std::min(path.size() + 1, text.size()));
  while (!text.empty() && block.size() < 200) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t space = std::min(line.find(' '), line.size());
    block += literal(line.substr(0, space), line.substr(std::min(space + 1, line.size())));
  }
  std::string head("\x01\x40", 2);
  head[1] = static_cast<char>(0x40 | (block.size() >> 8));
  return head + static_cast<char>(block.size()) + block;
}

}  // namespace moongate::fuzz
