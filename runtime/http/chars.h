// SPDX-License-Identifier: Apache-2.0
// Which bytes may stand where in HTTP/1 syntax: one table of flags, made at compile time, and the few scans
// that run over every received byte. Only http/ includes this; the rest asks is_field_name and its like in
// head.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/ascii.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace moongate::http {

enum CharFlag : uint8_t {
  kToken = 1,        // RFC 9110 tchar
  kControl = 2,      // what no field value may hold: controls and DEL, without HTAB
  kTargetChar = 4,   // no control, no space, no DEL; bytes above 0x7F pass
  kHostChar = 8,     // letters, digits, '-', '_'
  kUnreserved = 16,  // RFC 3986
  kPathChar = 32,    // what needs no encoding within a path segment, without ';'
};

constexpr bool is_letter(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

inline constexpr std::array<uint8_t, 256> kCharFlags = [] {
  std::array<uint8_t, 256> flags{};
  const auto mark = [&flags](std::string_view chars, uint8_t flag) {
    for (const char c : chars) flags[static_cast<uint8_t>(c)] |= flag;
  };
  for (size_t c = 0; c < 256; ++c) {
    const bool is_alphanumeric = is_letter(static_cast<uint8_t>(c)) || is_digit(static_cast<uint8_t>(c));
    if (is_alphanumeric) flags[c] |= kToken | kHostChar | kUnreserved | kPathChar;
    if ((c < 0x20 && c != '\t') || c == 0x7F) flags[c] |= kControl;
    if (c > 0x20 && c != 0x7F) flags[c] |= kTargetChar;
  }
  mark("!#$%&'*+-.^_`|~", kToken);
  mark("-_", kHostChar);
  mark("-._~", kUnreserved);
  mark("-._~!$&'()*+,=:@", kPathChar);
  return flags;
}();

constexpr bool has_flag(char c, uint8_t flag) { return (kCharFlags[static_cast<uint8_t>(c)] & flag) != 0; }

/// The value of each hexadecimal digit, -1 for everything else.
inline constexpr std::array<int8_t, 256> kHexValues = [] {
  std::array<int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (int i = 0; i < 10; ++i) values[static_cast<size_t>('0' + i)] = static_cast<int8_t>(i);
  for (int i = 0; i < 6; ++i) {
    values[static_cast<size_t>('a' + i)] = static_cast<int8_t>(10 + i);
    values[static_cast<size_t>('A' + i)] = static_cast<int8_t>(10 + i);
  }
  return values;
}();

constexpr int hex_value(char c) { return kHexValues[static_cast<uint8_t>(c)]; }
using base::to_lower;
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// The first byte in [at, end) that is neither space nor tab, or `end`.
inline const char* skip_blanks(const char* at, const char* end) {
  while (at != end && is_blank(*at)) ++at;
  return at;
}

/// Whether CR LF stands at `at`.
inline bool is_line_end(const char* at, const char* end) {
  return end - at >= 2 && std::memcmp(at, "\r\n", 2) == 0;
}

/// `text` without the spaces and tabs around it.
inline std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

#if defined(__SSE2__)
inline __m128i load_block(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

inline __m128i match_byte(__m128i block, char c) { return _mm_cmpeq_epi8(block, _mm_set1_epi8(c)); }
inline unsigned to_mask(__m128i matches) { return static_cast<unsigned>(_mm_movemask_epi8(matches)); }

/// All bits of each byte of `block` that is not above `last`, of all 256.
inline __m128i match_up_to(__m128i block, char last) {
  return _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(last)), block);
}

/// A bit for each byte of `block` that no field value may hold.
inline unsigned mask_controls(__m128i block) {
  const __m128i low_but_tab = _mm_andnot_si128(match_byte(block, '\t'), match_up_to(block, 0x1F));
  return to_mask(_mm_or_si128(low_but_tab, match_byte(block, 0x7F)));
}

/// A bit for each byte of `block` that is printable ASCII, by one comparison: one further, all others are
/// negative or small.
inline unsigned mask_printable(__m128i block) {
  return to_mask(_mm_cmpgt_epi8(_mm_add_epi8(block, _mm_set1_epi8(1)), _mm_set1_epi8(0x20)));
}

/// All bits of each byte of `block` that is one of the `count` from `first` on. They are moved to the highest
/// signed values, where one comparison finds them; bytes above 0x7F pass them by.
inline __m128i match_range(__m128i block, char first, int count) {
  const auto to_top = static_cast<char>(128 - count - first);
  const __m128i moved = _mm_add_epi8(block, _mm_set1_epi8(to_top));
  return _mm_cmpgt_epi8(moved, _mm_set1_epi8(static_cast<char>(127 - count)));
}

/// The same of each that is a letter or a digit.
inline __m128i match_alphanumeric(__m128i block) {
  const __m128i lower = _mm_or_si128(block, _mm_set1_epi8(0x20));
  return _mm_or_si128(match_range(lower, 'a', 26), match_range(block, '0', 10));
}

/// Calls `visit(block, seams)` with blocks that together hold every byte of `text` and every two neighbours,
/// until it returns false. A bit of `seams` is a byte that does not follow the one before it in the block.
/// False when `visit` said so, and for a text below four bytes.
template <class Visit>
inline bool visit_blocks(std::string_view text, Visit visit) {
  const char* const first = text.data();
  const char* const end = first + text.size();
  if (text.size() >= 16) {
    for (const char* at = first; end - at > 16; at += 15) {
      if (!visit(load_block(at), 0U)) return false;
    }
    return visit(load_block(end - 16), 0U);
  }
  if (text.size() >= 8) {
    uint64_t halves[2];
    std::memcpy(&halves[0], first, 8);
    std::memcpy(&halves[1], end - 8, 8);
    return visit(_mm_set_epi64x(static_cast<int64_t>(halves[1]), static_cast<int64_t>(halves[0])), 0x100U);
  }
  if (text.size() < 4) return false;
  uint32_t halves[2];
  std::memcpy(&halves[0], first, 4);
  std::memcpy(&halves[1], end - 4, 4);
  return visit(_mm_set1_epi64x(static_cast<int64_t>(uint64_t{halves[1]} << 32 | halves[0])), 0x1110U);
}
#endif

/// The first byte in [at, end) that no field value may hold, or `end`. Bytes from `first` on may be read.
inline const char* find_control(const char* first, const char* at, const char* end) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const unsigned mask = mask_controls(load_block(at));
    if (mask != 0) return at + __builtin_ctz(mask);
  }
  if (end - first >= 16) {  // the last block overlaps the one before it
    const unsigned mask = mask_controls(load_block(end - 16)) >> (16 - (end - at));
    return mask != 0 ? at + __builtin_ctz(mask) : end;
  }
#endif
  while (at != end && !has_flag(*at, kControl)) ++at;
  return at;
}

/// The same for what ends in CR as a rule and holds nothing but printable ASCII.
inline const char* find_line_end(const char* first, const char* at, const char* end) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const unsigned mask = mask_printable(load_block(at));
    if (mask == 0xFFFFU) continue;
    at += __builtin_ctz(~mask);
    if (*at == '\r') return at;
    break;
  }
#endif
  return find_control(first, at, end);
}

/// Whether some byte of `text` may be in no field value. Short texts are one comparison: their ends overlap.
inline bool has_control(std::string_view text) {
  const char* const end = text.data() + text.size();
#if defined(__SSE2__)
  if (text.size() >= 4)
    return !visit_blocks(text, [](__m128i block, unsigned) { return mask_controls(block) == 0; });
#endif
  return find_control(text.data(), text.data(), end) != end;
}

/// The first byte in [at, end) that no request target may hold, or `end`.
inline const char* find_target_end(const char* at, const char* end) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const __m128i block = load_block(at);
    const unsigned mask = to_mask(_mm_or_si128(match_up_to(block, ' '), match_byte(block, 0x7F)));
    if (mask != 0) return at + __builtin_ctz(mask);
  }
#endif
  while (at != end && has_flag(*at, kTargetChar)) ++at;
  return at;
}

/// The first `c` in [at, end), or `end`.
inline const char* find_byte(const char* at, const char* end, char c) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    const unsigned mask = to_mask(match_byte(load_block(at), c));
    if (mask != 0) return at + __builtin_ctz(mask);
  }
#endif
  while (at != end && *at != c) ++at;
  return at;
}

/// The first byte in [at, end) that is no token character, or `end`.
inline const char* find_token_end(const char* at, const char* end) {
#if defined(__SSE2__)
  // Letters, digits and '-' make up nearly every name; the loop below sorts out the rarer characters.
  while (end - at >= 16) {
    const __m128i block = load_block(at);
    const __m128i known = _mm_or_si128(match_alphanumeric(block), match_byte(block, '-'));
    const unsigned others = to_mask(known) ^ 0xFFFFU;
    if (others == 0) {
      at += 16;
      continue;
    }
    at += __builtin_ctz(others);
    if (*at == ':') return at;
    break;
  }
#endif
  while (at != end && has_flag(*at, kToken)) ++at;
  return at;
}

}  // namespace moongate::http
