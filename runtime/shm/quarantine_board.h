// SPDX-License-Identifier: Apache-2.0
// Which plugins are in quarantine: one verdict for all workers, which outlives the worker that made it. A
// plugin's entry is a single atomic word, so a death at any instant leaves nothing to repair:
//
//   bit 63      in quarantine
//   bits 48-62  how often it was over its budget
//   bits 0-47   print: a hash of the plugin's code and confs; what was counted for another one does not hold
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace moongate::shm {

/// The board.
///
/// Shape:   one word for each number of ProcessTable; 0 and the number that latecomers share have none.
/// Owner:   part of the process table.
/// Runs in: every process; never blocks, never allocates.
class QuarantineBoard {
 public:
  static constexpr uint32_t kPluginsMax = 1023;
  static constexpr uint32_t kStrikesMax = 0x7fff;

  /// Counts one more call over budget of code and confs with this print; at `limit` the plugin is in
  /// quarantine. True for the caller whose strike made it so.
  bool strike(uint32_t plugin, uint64_t print, uint32_t limit);
  /// Code and confs have this print from now on: what was held against another one is dropped, and a verdict
  /// for fewer strikes than `limit` (0: there are no verdicts). True when that ended a quarantine.
  bool keep_only(uint32_t plugin, uint64_t print, uint32_t limit);
  /// True while there is anything against the plugin.
  bool has_entry(uint32_t plugin) const { return word_of(plugin) != 0; }
  bool is_quarantined(uint32_t plugin) const { return (word_of(plugin) & kVerdict) != 0; }
  /// Rises with every verdict and every lifting: who saw this number has seen them all.
  uint32_t changes() const { return changes_.load(std::memory_order_acquire); }

 private:
  static constexpr uint64_t kVerdict = uint64_t{1} << 63;
  static constexpr unsigned kStrikesShift = 48;
  static constexpr uint64_t kPrintMask = (uint64_t{1} << kStrikesShift) - 1;

  uint64_t word_of(uint32_t plugin) const {
    return plugin < kPluginsMax ? words_[plugin].load(std::memory_order_acquire) : 0;
  }

  std::atomic<uint32_t> changes_{0};
  std::atomic<uint64_t> words_[kPluginsMax] = {};
};

}  // namespace moongate::shm
