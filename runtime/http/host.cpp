// SPDX-License-Identifier: Apache-2.0
// What may stand in Host and in the authority of an absolute target: a DNS name, an IPv4 address or a
// bracketed IPv6 address, and a port. Far less than RFC 3986 allows, because routes and certificates are
// chosen by it.
#include <arpa/inet.h>

#include <cstring>

#include "http/chars.h"
#include "http/head.h"

namespace moongate::http {
namespace {

constexpr size_t kNameMaxBytes = 253;
constexpr size_t kAddressMaxBytes = INET6_ADDRSTRLEN - 1;

bool parse_port(std::string_view text, uint16_t* port) {
  if (text.empty() || text.size() > 5 || text[0] == '0') return false;
  uint32_t number = 0;
  for (const char c : text) {
    if (!is_digit(static_cast<uint8_t>(c))) return false;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  *port = static_cast<uint16_t>(number);
  return number <= 65535;
}

bool parse_ipv6(std::string_view text, in6_addr* address) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.size() > kAddressMaxBytes) return false;
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  // A NUL within the text would hide what follows it.
  return std::strlen(terminated) == text.size() && inet_pton(AF_INET6, terminated, address) == 1;
}

// The same a byte at a time, for what is_name does not see in blocks.
bool is_name_by_bytes(std::string_view text, bool* is_lower_case) {
  char last = '.';
  bool has_upper = false;
  for (const char c : text) {
    if (!has_flag(c, kHostChar) && (c != '.' || last == '.')) return false;
    has_upper |= static_cast<uint8_t>(c - 'A') < 26;
    last = c;
  }
  *is_lower_case = !has_upper;
  return last != '.';
}

// Labels of letters, digits, '-' and '_', none of them empty.
bool is_name(std::string_view text, bool* is_lower_case) {
  if (text.empty() || text.size() > kNameMaxBytes) return false;
#if defined(__SSE2__)
  const bool is_name_in_lower_case = visit_blocks(text, [](__m128i block, unsigned seams) {
    const __m128i dots = match_byte(block, '.');
    const __m128i marks = _mm_or_si128(match_byte(block, '-'), match_byte(block, '_'));
    const __m128i known = _mm_or_si128(_mm_or_si128(dots, marks), match_alphanumeric(block));
    const __m128i upper = match_range(block, 'A', 26);
    const unsigned ends = to_mask(dots);
    return (ends & ends << 1 & ~seams) == 0 && to_mask(_mm_andnot_si128(upper, known)) == 0xFFFFU;
  });
  if (is_name_in_lower_case) {
    *is_lower_case = true;
    return text.front() != '.' && text.back() != '.';
  }
#endif
  return is_name_by_bytes(text, is_lower_case);
}

// The shortest spelling of an address, in brackets, so that one address is one host.
std::string_view spell_ipv6(std::string_view text, base::Arena* arena) {
  in6_addr address;
  char* at = arena->allocate_chars(INET6_ADDRSTRLEN + 2);
  if (!parse_ipv6(text, &address) || inet_ntop(AF_INET6, &address, at + 1, INET6_ADDRSTRLEN) == nullptr)
    return {};
  const size_t size = std::strlen(at + 1);
  at[0] = '[';
  at[size + 1] = ']';
  return {at, size + 2};
}

}  // namespace

bool split_host(std::string_view text, HostParts* parts) {
  if (text.empty()) return false;
  const bool is_bracketed = text[0] == '[';
  const size_t name_end = is_bracketed ? text.find(']') : text.find(':');
  if (is_bracketed && name_end == std::string_view::npos) return false;
  const std::string_view rest = name_end == std::string_view::npos
                                    ? std::string_view()
                                    : text.substr(name_end + (is_bracketed ? 1 : 0));
  if (!rest.empty() && (rest[0] != ':' || !parse_port(rest.substr(1), &parts->port))) return false;
  if (is_bracketed) {
    in6_addr address;
    parts->is_ipv6 = true;
    parts->is_lower_case = false;
    parts->name = text.substr(1, name_end - 1);
    return parse_ipv6(parts->name, &address);
  }
  parts->name = text.substr(0, name_end);
  if (!parts->name.empty() && parts->name.back() == '.') parts->name.remove_suffix(1);
  return is_name(parts->name, &parts->is_lower_case);
}

std::string_view spell_host(const HostParts& parts, base::Arena* arena) {
  if (parts.is_lower_case) return parts.name;
  if (parts.is_ipv6) return spell_ipv6(parts.name, arena);
  char* lower = arena->allocate_chars(parts.name.size());
  for (size_t i = 0; i < parts.name.size(); ++i) lower[i] = to_lower(parts.name[i]);
  return {lower, parts.name.size()};
}

bool is_host(std::string_view text) {
  HostParts parts;
  return split_host(text, &parts);
}

}  // namespace moongate::http
