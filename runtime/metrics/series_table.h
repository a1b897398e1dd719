// SPDX-License-Identifier: Apache-2.0
// Where series are kept: records in shared memory, found by family and label text. What is counted in them
// is metrics/registry.h's.
//
//   head | index: one word x 2 per series allowed | map of blocks | records ──►   ◄── label texts
//
//   index word:  0: never used    1: gone    else 32 bits of the hash, 32 bits of the record's place
//   record:      family, state, where its label text is | values                          64-byte aligned
//   label text:  as many blocks of 64 bytes as it needs, the last that are free
//
// Who knows a series finds it without a lock. Making one, and taking it out of the index, needs the lock; its
// owner may die in between: the next one makes the index, the map and the lists of free records anew from the
// records, whose state is written last.
//
// A series that is given back goes in two steps, because processes keep pointers into its record:
//
//   live --take_out()--> retired: not in the index; generation() has risen, and who sees that forgets its
//                        pointers. What was added meanwhile is there still
//        --release()---> free, a while later: what came late is added to the series of these labels, and the
//                        record serves another series of its family
//
// A record stays one of its family for ever, so that who comes later than that (a process that was stopped)
// miscounts at worst. Nobody writes to label texts without the lock, so their blocks serve whoever is next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "metrics/block_map.h"
#include "metrics/families.h"
#include "shm/keyed_hash.h"
#include "shm/robust_mutex.h"

namespace moongate::metrics {

inline constexpr size_t kLabelBytesMax = 4096;
inline constexpr size_t kBlockBytes = 64;  // also the unit of places, which are then below 2^32

/// The values follow at once.
struct alignas(8) SeriesRecord {
  enum class State : uint16_t { kFree, kLive, kRetired, kApart };

  Family family;
  uint16_t value_count;
  std::atomic<State> state;
  uint32_t next_free;
  uint32_t tag;                     // of the hash
  std::atomic<uint64_t> label;      // how many blocks behind the record, and its size: both change at once
  std::atomic<uint64_t> retired_s;  // by the clock that series are dated with

  std::atomic<uint64_t>* values() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
  std::string_view labels() const {
    const uint64_t there = label.load(std::memory_order_acquire);
    return {reinterpret_cast<const char*>(this) + (there >> 32) * kBlockBytes, there & UINT32_MAX};
  }
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

/// The table.
///
/// Owner:   an area of the supervisor's segment; the handle is inherited by the fork.
/// Runs in: every process; take_out() and release() in one of them.
/// Fails:   find_or_make() when there are as many series as allowed, or their memory is used up: null.
class SeriesTable {
 public:
  using Visitor = std::function<void(SeriesRecord&)>;
  /// How long a retired record waits for those who have not looked at generation() yet.
  static constexpr uint64_t kGraceSeconds = 30;

  static size_t size_bytes(uint32_t series_max);
  /// Lays the table out in zeroed memory.
  static SeriesTable make(void* memory, uint32_t series_max);

  SeriesRecord* find_or_make(Family family, std::string_view labels, size_t value_count) const;
  /// A record that is in no index: never found, never given back.
  SeriesRecord* make_apart(Family family, std::string_view labels, size_t value_count) const;
  void each_live(const Visitor& visit) const;
  uint32_t live_count() const;
  /// Rises when series were taken out: pointers got under another number must be forgotten.
  uint32_t generation() const;

  /// Takes those out for which `is_old` is true. It is asked without the lock, and by each record once.
  void take_out(uint64_t now_s, const std::function<bool(SeriesRecord&)>& is_old) const;
  /// Frees what was retired long enough. `rescue` takes care of what was added to it meanwhile.
  void release(uint64_t now_s, const Visitor& rescue) const;
  /// True once in `period_s`, whichever process asks.
  bool is_due(uint64_t now_s, uint64_t period_s) const;

 private:
  struct Head;
  class Lock;

  std::atomic<uint64_t>* index() const;
  char* memory() const;
  BlockMap blocks() const;
  uint64_t first_place() const;
  uint64_t next_record() const;
  SeriesRecord* record_at(uint64_t place) const;
  uint64_t place_of(const SeriesRecord& record) const;
  uint64_t hash_of(Family family, std::string_view labels) const;
  SeriesRecord* find(Family family, std::string_view labels, uint64_t hash) const;
  SeriesRecord* take_record(Family family, std::string_view labels, size_t value_count) const;
  SeriesRecord* take_free(Family family) const;
  SeriesRecord* carve(Family family, size_t value_count) const;
  void push_free(SeriesRecord& record) const;
  void free_record(SeriesRecord& record) const;
  void put(SeriesRecord& record, uint64_t hash) const;
  void remove(const SeriesRecord& record) const;
  void each(const Visitor& visit) const;
  void rebuild() const;

  Head* head_ = nullptr;
};

}  // namespace moongate::metrics
