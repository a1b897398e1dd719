// SPDX-License-Identifier: Apache-2.0
// Finds where a head ends, in bytes that may still be arriving. It knows nothing of the head but its last
// line, so that the parser proper (request_head.cpp, response_head.cpp) always works on a whole one.
#include <algorithm>

#include "http/chars.h"
#include "http/head.h"

namespace moongate::http {
namespace {

constexpr size_t kBlock = 64;

// A bit for each LF among the first `size` bytes at `at`, at most kBlock; those from `first` on may be read.
inline uint64_t mask_line_feeds(const char* first, const char* at, size_t size) {
  uint64_t mask = 0;
  size_t i = 0;
#if defined(__SSE2__)
  const auto match = [](const char* from) { return uint64_t{to_mask(match_byte(load_block(from), '\n'))}; };
  if (size == kBlock) return match(at) | match(at + 16) << 16 | match(at + 32) << 32 | match(at + 48) << 48;
  for (; i + 16 <= size; i += 16) mask |= match(at + i) << i;
  if (i == size) return mask;
  if (at + size - first >= 16) return mask | match(at + size - 16) >> (16 - (size - i)) << i;
#endif
  for (; i < size; ++i) mask |= uint64_t{at[i] == '\n'} << i;
  return mask;
}

// The first byte after an empty line in [first, end), or null. An empty line is LF LF or LF CR LF: the line
// end before it belongs to the pattern.
const char* find_head_end(const char* first, const char* end) {
  uint64_t before = 0;  // the mask of the block before this one
  for (const char* at = first; at < end; at += kBlock) {
    const uint64_t feeds = mask_line_feeds(first, at, std::min(kBlock, static_cast<size_t>(end - at)));
    // Those with another one byte or two bytes before them.
    uint64_t hits = feeds & (feeds << 1 | feeds << 2 | before >> 63 | before >> 62);
    for (; hits != 0; hits &= hits - 1) {
      const char* const feed = at + __builtin_ctzll(hits);
      if (feed[-1] == '\n' || feed[-1] == '\r') return feed + 1;
    }
    before = feeds;
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
