// SPDX-License-Identifier: Apache-2.0
// Percent-encoding of free text, and the walk over a query's arguments. What scripts call; canonical paths
// are made in uri.cpp.
#include "base/hex.h"
#include "http/chars.h"
#include "http/uri.h"

namespace moongate::http {

std::string_view escape(std::string_view text, EscapeSet set, base::Arena* arena) {
  const uint8_t flag = set == EscapeSet::kPath ? kPathChar : kUnreserved;
  const auto is_raw = [set, flag](char c) {
    return has_flag(c, flag) || (set == EscapeSet::kPath && (c == '/' || c == ';'));
  };
  size_t size = text.size();
  for (const char c : text) size += is_raw(c) ? 0 : 2;
  if (size == text.size()) return text;
  char* const begin = arena->allocate_chars(size);
  char* out = begin;
  for (const char c : text) {
    if (is_raw(c)) {
      *out++ = c;
      continue;
    }
    *out++ = '%';
    out = base::write_hex({&c, 1}, out, base::kHexUpper);
  }
  return {begin, size};
}

std::string_view unescape(std::string_view text, bool plus_is_space, base::Arena* arena) {
  if (text.find('%') == std::string_view::npos &&
      (!plus_is_space || text.find('+') == std::string_view::npos)) {
    return text;
  }
  char* const begin = arena->allocate_chars(text.size());
  char* out = begin;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool has_digits = text[at] == '%' && text.size() - at > 2 && hex_value(text[at + 1]) >= 0 &&
                            hex_value(text[at + 2]) >= 0;
    if (has_digits) {
      *out++ = static_cast<char>(hex_value(text[at + 1]) << 4 | hex_value(text[at + 2]));
      at += 2;
    } else {
      *out++ = plus_is_space && text[at] == '+' ? ' ' : text[at];
    }
  }
  return {begin, static_cast<size_t>(out - begin)};
}

bool next_query_argument(std::string_view* rest, std::string_view* name, std::string_view* value,
                         bool* has_value) {
  while (!rest->empty()) {
    const size_t end = rest->find('&');
    const std::string_view argument = rest->substr(0, end);
    rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
    if (argument.empty()) continue;  // `a&&b` has two arguments
    const size_t equals = argument.find('=');
    *has_value = equals != std::string_view::npos;
    *name = argument.substr(0, equals);
    *value = *has_value ? argument.substr(equals + 1) : std::string_view();
    return true;
  }
  return false;
}

}  // namespace moongate::http
