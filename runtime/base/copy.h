// SPDX-License-Identifier: Apache-2.0
// Copying of texts that are short as a rule: the names and values of header fields. A few overlapping moves
// in place of a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace moongate::base {

/// memcpy for `size` bytes that hardly ever are more than 32; the ranges do not overlap.
inline void copy_short(char* to, const char* from, size_t size) {
  const auto copy_ends = [to, from, size]<class Word>(Word first, Word last) {
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, from + size - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + size - sizeof last, &last, sizeof last);
  };
  struct Block {
    uint64_t words[2];
  };
  if (size > 2 * sizeof(Block))
    std::memcpy(to, from, size);
  else if (size >= sizeof(Block))
    copy_ends(Block{}, Block{});
  else if (size >= sizeof(uint64_t))
    copy_ends(uint64_t{}, uint64_t{});
  else if (size >= sizeof(uint32_t))
    copy_ends(uint32_t{}, uint32_t{});
  else if (size >= sizeof(uint16_t))
    copy_ends(uint16_t{}, uint16_t{});
  else if (size == 1)
    *to = *from;
}

}  // namespace moongate::base
