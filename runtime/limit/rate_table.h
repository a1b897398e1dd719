// SPDX-License-Identifier: Apache-2.0
// The token bucket, shared by all processes of the machine, in one word a key. GCRA (the cell rate algorithm
// of ATM) keeps the theoretical arrival time (TAT): when the bucket would be full again. A request of cost c
// moves it c/rate further, and is refused when it would come to lie more than a bucket's worth ahead of now.
//
//   slot:  tag   = 64-bit keyed hash of the key
//          state = 0 | TAT in nanoseconds of the monotonic clock (63 bits)
//
// The wall clock plays no part, so its steps cannot give anything away.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/clock.h"
#include "limit/slot_table.h"
#include "limit/verdict.h"
#include "shm/keyed_hash.h"

namespace moongate::limit {

struct Rate {
  double per_second = 0;  // tokens that come back in a second
  double burst = 1;       // size of the bucket: what a fresh key is admitted at once; less than 1 counts as 1
};

/// Token buckets by key.
///
/// Shape:   slot_table.h: 16 bytes a key, 64 bytes probed for most.
/// Units:   tokens, which need not be whole; a request costs 1 as a rule.
/// Owner:   an area of the supervisor's segment; the handle is copied into every process by the fork.
/// Runs in: every worker, on its loop; never blocks, never allocates.
/// Fails:   kTableFull when the 32 slots a new key may use all hold keys that are still owed time.
class RateTable {
 public:
  RateTable() = default;
  /// `memory` is zeroed, 64-byte aligned, and holds `size_bytes` of at least `kSizeBytesMin`.
  RateTable(void* memory, size_t size_bytes);
  static constexpr size_t kSizeBytesMin = 64 + SlotTable::kSizeBytesMin;

  /// Takes `cost` tokens from `key`'s bucket if they are there. In any time t at most burst + rate * t are
  /// given. Cost 0 only asks. A rate that is not above zero admits nothing. `now` is Clock::steady().
  [[nodiscard]] Outcome take(std::string_view key, const Rate& rate, double cost, base::SteadyTime now,
                             Verdict& verdict) const;

  /// Keys that have not got their whole bucket back. Reads the whole table: for reports.
  size_t count_live(base::SteadyTime now) const;
  size_t slot_count() const { return slots_.slot_count(); }

 private:
  struct Header;

  Header* header_ = nullptr;
  SlotTable slots_;
};

}  // namespace moongate::limit
