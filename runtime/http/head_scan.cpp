// SPDX-License-Identifier: Apache-2.0
// Finds where a head ends, in bytes that may still be arriving. It knows nothing of the head but its last
// line, so that the parser proper (request_head.cpp, response_head.cpp) always works on a whole one.
#include <algorithm>

#include "http/chars.h"
#include "http/head.h"

namespace moongate::http {
namespace {

// The byte after the empty line that follows the line end at `lf`, or null.
inline const char* after_empty_line(const char* lf, const char* end) {
  if (end - lf >= 2 && lf[1] == '\n') return lf + 2;
  if (end - lf >= 3 && lf[1] == '\r' && lf[2] == '\n') return lf + 3;
  return nullptr;
}

#if defined(__SSE2__)
constexpr ptrdiff_t kBlock = 16;
constexpr ptrdiff_t kLookAhead = 2;

// The same for the line ends in the block at `at`, of which kLookAhead more bytes can be read.
[[gnu::always_inline]] inline const char* find_head_end_in_block(const char* at, const char* end) {
  const auto match = [](const char* from) { return _mm_cmpeq_epi8(load_block(from), _mm_set1_epi8('\n')); };
  const __m128i pairs = _mm_and_si128(match(at), _mm_or_si128(match(at + 1), match(at + 2)));
  for (auto hits = static_cast<unsigned>(_mm_movemask_epi8(pairs)); hits != 0; hits &= hits - 1) {
    if (const char* head_end = after_empty_line(at + __builtin_ctz(hits), end)) return head_end;
  }
  return nullptr;
}
#endif

// The first byte after an empty line in [at, end), or null. An empty line is LF LF or LF CR LF: the line end
// before it belongs to the pattern.
const char* find_head_end(const char* at, const char* end) {
#if defined(__SSE2__)
  if (end - at >= kBlock + kLookAhead) {
    for (; end - at >= kBlock + kLookAhead; at += kBlock) {
      if (const char* head_end = find_head_end_in_block(at, end)) return head_end;
    }
    // The last block overlaps the one before it.
    if (const char* head_end = find_head_end_in_block(end - kBlock - kLookAhead, end)) return head_end;
    at = end - kLookAhead;
  }
#endif
  for (; at != end; ++at) {
    if (*at != '\n') continue;
    if (const char* head_end = after_empty_line(at, end)) return head_end;
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
