// SPDX-License-Identifier: Apache-2.0
// Fixed windows: so many requests a key from its first request on, then nothing until the window ends. Shared
// by all processes of the machine, exact under any concurrency, because count and end change in one swap.
//
//   slot:  tag   = 44 bits of the keyed hash | count, upper 20 bits
//          state = pending flag | end of the window in ticks (47 bits) | count, lower 16 bits
//
// A tick is 4 microseconds of the monotonic clock since the table was made: room for 17 years, so that a
// window of ten years fits. 44 bits and the place in the table tell keys apart: two of a million share a slot
// with a chance of one in half a million. A refused request counts nothing.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "limit/slot_table.h"
#include "limit/verdict.h"
#include "shm/keyed_hash.h"

namespace moongate::limit {

struct Window {
  double count = 0;     // what one window admits; whole, at most 6.8e10
  double length_s = 1;  // at most 17 years less what the table is old; longer ones are cut to that
};

/// Counters in fixed windows by key.
///
/// Shape:   slot_table.h: 16 bytes a key.
/// Units:   whole requests; a cost that is not whole is rounded up.
/// Owner:   an area of the supervisor's segment; the handle is copied into every process by the fork.
/// Runs in: every worker, on its loop; never blocks, never allocates.
/// Fails:   kTableFull when the 32 slots a new key may use all hold windows that still run.
class WindowTable {
 public:
  WindowTable() = default;
  /// `memory` is zeroed, 64-byte aligned, and holds `size_bytes` of at least `kSizeBytesMin`.
  WindowTable(void* memory, size_t size_bytes, base::SteadyTime now);
  static constexpr size_t kSizeBytesMin = 64 + SlotTable::kSizeBytesMin;

  /// Counts `cost` in `key`'s window if it still fits, and opens a window if none runs. A window keeps its
  /// end when `length_s` changes; a new `count` holds at once. Cost 0 only asks. `now` is Clock::steady().
  [[nodiscard]] Outcome take(std::string_view key, const Window& window, double cost, base::SteadyTime now,
                             Verdict& verdict) const;

  /// Keys whose window runs. Reads the whole table: for reports.
  size_t count_live(base::SteadyTime now) const;
  size_t slot_count() const { return slots_.slot_count(); }

 private:
  struct Header;
  SlotTable::Now to_ticks(base::SteadyTime now) const;

  Header* header_ = nullptr;
  SlotTable slots_;
};

}  // namespace moongate::limit
