// SPDX-License-Identifier: Apache-2.0
// Finds where a head ends, in bytes that may still be arriving. It knows nothing of the head but its last
// line, so that the parser proper (request_head.cpp, response_head.cpp) always works on a whole one.
#include <algorithm>

#include "http/chars.h"
#include "http/head.h"

namespace moongate::http {
namespace {

// The first byte after an empty line in [at, end), or null. An empty line is LF LF or LF CR LF: the line end
// before it belongs to the pattern.
const char* find_head_end(const char* at, const char* end) {
#if defined(__SSE2__)
  const __m128i lf = _mm_set1_epi8('\n');
  const __m128i cr = _mm_set1_epi8('\r');
  for (; end - at >= 18; at += 16) {
    const __m128i first = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), lf);
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 1));
    const __m128i third = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 2)), lf);
    const __m128i crlf = _mm_and_si128(_mm_cmpeq_epi8(second, cr), third);
    const __m128i hits = _mm_and_si128(first, _mm_or_si128(_mm_cmpeq_epi8(second, lf), crlf));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(hits));
    if (mask == 0) continue;
    at += __builtin_ctz(mask);
    return at[1] == '\n' ? at + 2 : at + 3;
  }
#endif
  for (; end - at >= 2; ++at) {
    if (at[0] != '\n') continue;
    if (at[1] == '\n') return at + 2;
    if (at[1] == '\r' && end - at >= 3 && at[2] == '\n') return at + 3;
  }
  return nullptr;
}

}  // namespace

ScanResult scan_head(std::string_view bytes, size_t from, const HeadLimits& limits) {
  const size_t size = std::min(bytes.size(), limits.head_size_max_bytes);
  const char* head_end = from < size ? find_head_end(bytes.data() + from, bytes.data() + size) : nullptr;
  if (head_end != nullptr) {
    const auto head_size = static_cast<size_t>(head_end - bytes.data());
    return {ScanStatus::kComplete, head_size, head_size};
  }
  if (bytes.size() >= limits.head_size_max_bytes) return {ScanStatus::kTooLarge, 0, 0};
  // The last two bytes may be the beginning of the pattern.
  return {ScanStatus::kIncomplete, 0, size < 2 ? 0 : size - 2};
}

}  // namespace moongate::http
