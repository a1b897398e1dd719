// SPDX-License-Identifier: Apache-2.0
// Where series are kept: records in shared memory, found by family and label text. What is counted in them
// is metrics/registry.h's.
//
//   head | index: one word x 2 per series allowed | records, one after the other
//
//   index word:  0: never used    1: gone    else 32 bits of the hash, 32 bits of the record's place
//   record:      family, sizes, state | values | label text                               64-byte aligned
//
// Who knows a series finds it without a lock. Making one, and taking it out of the index, needs the lock; its
// owner may die in between: the next one makes the index and the lists of free records anew from the records,
// whose state is written last.
//
// A series that is given back goes in two steps, because processes keep pointers into its record:
//
//   live --take_out()--> retired: not in the index; generation() has risen, and who sees that forgets its
//                        pointers. What was added meanwhile is there still
//        --release()---> free, a while later: what came late is added to the series of these labels, and the
//                        record serves another series of its family
//
// A record stays one of its family for ever, so that who comes later than that (a process that was stopped)
// miscounts at worst.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "metrics/families.h"
#include "shm/keyed_hash.h"
#include "shm/robust_mutex.h"

namespace moongate::metrics {

inline constexpr size_t kLabelBytesMax = 4096;

/// The values follow at once, then the label text.
struct alignas(8) SeriesRecord {
  enum class State : uint16_t { kFree, kLive, kRetired, kApart };

  Family family;
  uint16_t value_count;
  uint32_t label_bytes_max;
  std::atomic<uint32_t> label_size;
  std::atomic<State> state;
  uint32_t next_free;
  uint32_t tag;                     // of the hash
  std::atomic<uint64_t> retired_s;  // by the clock that series are dated with

  std::atomic<uint64_t>* values() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
  char* label_text() { return reinterpret_cast<char*>(values() + value_count); }
  std::string_view labels() {
    const uint32_t size = label_size.load(std::memory_order_acquire);
    return {label_text(), size < label_bytes_max ? size : label_bytes_max};
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
  SeriesRecord* record_at(uint64_t place) const;
  uint64_t place_of(const SeriesRecord& record) const;
  uint64_t hash_of(Family family, std::string_view labels) const;
  SeriesRecord* find(Family family, std::string_view labels, uint64_t hash) const;
  SeriesRecord* take_record(Family family, std::string_view labels, size_t value_count) const;
  SeriesRecord* take_free(Family family, size_t labels_size, size_t steps_wasted) const;
  SeriesRecord* carve(Family family, size_t labels_size, size_t value_count) const;
  void push_free(SeriesRecord& record) const;
  void put(SeriesRecord& record, uint64_t hash) const;
  void remove(const SeriesRecord& record) const;
  void each(const Visitor& visit) const;
  void rebuild() const;

  Head* head_ = nullptr;
};

}  // namespace moongate::metrics
