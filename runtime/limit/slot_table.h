// SPDX-License-Identifier: Apache-2.0
// The table under both limiters: 16 bytes a key, open addressing, no lock. What a slot's second word means is
// the limiter's affair (rate_table.h, window_table.h); how keys find, claim and lose slots is decided here,
// once.
//
//   bucket = 64 bytes = one cache line
//   +--------+--------+--------+--------+--------+--------+--------+--------+
//   |  tag   | state  |  tag   | state  |  tag   | state  |  tag   | state  |
//   +--------+--------+--------+--------+--------+--------+--------+--------+
//   A key may sit in any slot of the 8 buckets from its home bucket on.
//
//   (0, 0) --claim--> pending --commit--> live --time passes--> free again, by definition
//                        |                                        |
//                        +-- withdrawn: tombstone ----------------+--claim by any key--> pending
//
// Slots change by a 16-byte compare-and-swap only, so a process may die between any two instructions and
// leaves every slot whole. `tag` holds the fingerprint; `state` holds a time in its upper bits, and the slot
// is free once that time has passed, because a new slot would answer the same. Nothing is ever evicted: a key
// never gets back what it spent.
//
// Claims. Two processes that meet a new key at once must not give it two slots, or it would have its
// allowance twice. A claim is therefore made in two steps: the slot is first taken as pending (a value nobody
// else ever writes), then the whole neighbourhood is read again, then the pending slot is committed. Whoever
// finds another pending slot of its key withdraws the later one of the two; whoever finds a live one uses
// that. Of two claims at least one reads after both were placed, so only one can be committed. A process that
// meets a pending slot finishes that claim as its own, so a dead or stopped claimer delays nobody; a pending
// slot that no one came back for is free after a second.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace moongate::limit {

struct alignas(16) SlotValue {
  uint64_t tag = 0;
  uint64_t state = 0;
  bool operator==(const SlotValue&) const = default;
};

/// A slot in shared memory. Touched only through the functions below.
struct alignas(16) Slot {
  SlotValue value;

  uint64_t load_tag() const { return __atomic_load_n(&value.tag, __ATOMIC_SEQ_CST); }

  /// A copy whose two words belong together, as far as reading twice can tell; a swap finds out for certain.
  SlotValue load() const {
    SlotValue copy;
    do {
      copy.tag = __atomic_load_n(&value.tag, __ATOMIC_SEQ_CST);
      copy.state = __atomic_load_n(&value.state, __ATOMIC_SEQ_CST);
    } while (copy.tag != load_tag());
    return copy;
  }

  /// Puts `desired` in place of `expected`, both words at once; false when the slot holds anything else. In
  /// assembly on x86-64, where compilers otherwise call a library that may take a lock of this process only.
  bool swap(const SlotValue& expected, const SlotValue& desired) {
#if defined(__x86_64__)
    bool is_done = false;
    SlotValue seen = expected;
    asm volatile("lock cmpxchg16b %[slot]"
                 : "=@ccz"(is_done), [slot] "+m"(value), "+a"(seen.tag), "+d"(seen.state)
                 : "b"(desired.tag), "c"(desired.state)
                 : "memory");
    return is_done;
#else
    using Word = unsigned __int128;
    return __sync_bool_compare_and_swap(reinterpret_cast<Word*>(this), std::bit_cast<Word>(expected),
                                        std::bit_cast<Word>(desired));
#endif
  }
};

/// How a limiter packs its words: which bits of the tag are the fingerprint, and where the time begins in the
/// state. Bit 63 of the state is the pending flag in every format.
struct SlotFormat {
  uint64_t tag_mask = ~uint64_t{0};
  unsigned time_shift = 0;
};

/// Finds and claims slots. A small handle on shared memory: copy it freely.
///
/// Shape:   see above. Seven more buckets than homes, so that a neighbourhood never wraps.
/// Units:   `ticks` are the limiter's; `now_ms` are milliseconds of the monotonic clock, which is one per
/// machine. Runs in: every process; never blocks, never allocates. Fails:   kFull when all 32 slots of a
/// neighbourhood are live.
class SlotTable {
 public:
  static constexpr uint64_t kPending = uint64_t{1} << 63;
  static constexpr uint64_t kTombstoneTag = 1;
  static constexpr size_t kBucketSlots = 4;
  static constexpr size_t kProbeBuckets = 8;
  static constexpr size_t kProbeSlots = kBucketSlots * kProbeBuckets;

  struct Now {
    uint64_t ticks = 0;
    uint64_t ms = 0;
  };
  enum class Found : uint8_t { kAbsent, kLive, kPending };
  enum class Claim : uint8_t { kDone, kRetry, kFull };
  struct Place {
    Slot* slot = nullptr;
    SlotValue value;
  };

  SlotTable() = default;
  /// `memory` is zeroed and 64-byte aligned; the claim counter lives elsewhere in the same segment.
  SlotTable(void* memory, size_t size_bytes, uint64_t* claim_counter, SlotFormat format);

  /// The smallest memory that makes a table.
  static constexpr size_t kSizeBytesMin = 64 * 64;

  Slot* home(uint64_t hash) const {
    return slots_ +
           static_cast<size_t>((static_cast<unsigned __int128>(hash) * home_count_) >> 64) * kBucketSlots;
  }
  /// Looks for the key with fingerprint `tag`. kLive: `place` is its slot as it was seen. kPending: someone
  /// is claiming one; pass it to `commit`.
  Found find(uint64_t tag, Slot* home, Place& place) const;
  /// Gives the key its slot with the value `fresh`. kRetry: something changed meanwhile, look again.
  Claim claim(uint64_t tag, Slot* home, const SlotValue& fresh, const Now& now) const;
  /// The second half of a claim that stands as pending at `place`.
  Claim commit(uint64_t tag, Slot* home, Place place, const SlotValue& fresh) const;

  /// Slots that hold an unexpired key now. Reads the whole table: for reports.
  size_t count_live(const Now& now) const;
  size_t slot_count() const { return (home_count_ + kProbeBuckets - 1) * kBucketSlots; }

 private:
  enum class Survey : uint8_t { kAlone, kEarlier, kConflict };

  bool is_free(const SlotValue& value, const Now& now) const;
  Survey survey(uint64_t tag, Slot* home, Place& place) const;

  Slot* slots_ = nullptr;
  size_t home_count_ = 0;
  uint64_t* claim_counter_ = nullptr;
  SlotFormat format_;
};

}  // namespace moongate::limit
