// SPDX-License-Identifier: Apache-2.0
// Which blocks of a memory are taken, one bit each: what is freed is one with what is free beside it, and
// serves any size again. Apart from series_table.h, whose label texts live in such blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace moongate::metrics {

/// The map.
///
/// Shape:   words of 64 bits beside a number that is never below the last free block.
/// Owner:   whoever has the memory and its lock; nothing here is safe without one.
class BlockMap {
 public:
  BlockMap(uint64_t* words, uint64_t count, uint64_t* top) : words_(words), count_(count), top_(top) {}
  static size_t size_bytes(uint64_t count) { return (count + 63) / 64 * sizeof(uint64_t); }

  /// Nothing is taken.
  void clear() const;
  /// The last run of free blocks, none of them below `lowest`; taken when it is returned.
  std::optional<uint64_t> take_last(uint64_t count, uint64_t lowest) const;
  /// False when one of them is taken already; then none is.
  bool take_at(uint64_t first, uint64_t count) const;
  void give(uint64_t first, uint64_t count) const;

 private:
  bool is_taken(uint64_t block) const { return (words_[block / 64] >> (block % 64) & 1) != 0; }
  void mark(uint64_t first, uint64_t count) const;

  uint64_t* words_;
  uint64_t count_;
  uint64_t* top_;
};

}  // namespace moongate::metrics
