// SPDX-License-Identifier: Apache-2.0
#include "metrics/block_map.h"

#include <algorithm>
#include <cstring>

namespace moongate::metrics {

void BlockMap::clear() const {
  std::memset(words_, 0, size_bytes(count_));
  *top_ = count_ == 0 ? 0 : count_ - 1;
}

std::optional<uint64_t> BlockMap::take_last(uint64_t count, uint64_t lowest) const {
  while (*top_ > lowest && is_taken(*top_)) --*top_;
  uint64_t run = 0;
  for (uint64_t at = *top_ + 1; at > lowest;) {
    at--;
    if (words_[at / 64] == ~uint64_t{0}) {
      run = 0;
      at -= at % 64;
    } else if (is_taken(at)) {
      run = 0;
    } else if (++run == count) {
      mark(at, count);
      return at;
    }
  }
  return std::nullopt;
}

bool BlockMap::take_at(uint64_t first, uint64_t count) const {
  if (first + count > count_) return false;
  for (uint64_t block = first; block < first + count; block++)
    if (is_taken(block)) return false;
  mark(first, count);
  return true;
}

void BlockMap::give(uint64_t first, uint64_t count) const {
  for (uint64_t block = first; block < first + count; block++)
    words_[block / 64] &= ~(uint64_t{1} << block % 64);
  *top_ = std::max(*top_, first + count - 1);
}

void BlockMap::mark(uint64_t first, uint64_t count) const {
  for (uint64_t block = first; block < first + count; block++)
    words_[block / 64] |= uint64_t{1} << block % 64;
}

}  // namespace moongate::metrics
