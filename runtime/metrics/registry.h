// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms that all processes add to, found by metric and label text. A worker looks a
// series up once, keeps the pointer, and from then on an increment is one relaxed atomic addition.
//
//   header | index: (hash, offset) x 2 per series allowed | records, one after the other
//
//   index entry:  (0,0) --swap hash--> (h,0) --swap offset--> (h,record)         never taken back
//   record:       family, sizes | values: 1, or bounds + 1 and a sum; a date | label text    64-byte aligned
//
// A process may die between the two swaps: whoever looks the series up next makes the record in its place.
// Two that make it at once agree on one; the other record's few bytes are lost. Past the limit all new label
// sets of a metric share its series `overflow="true"`, made at the start, and a counter tells how often that
// happened: a million label values cost no more memory than the limit.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "metrics/families.h"
#include "shm/segment.h"

namespace moongate::metrics {

/// A number that only grows.
class Counter {
 public:
  void add(uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// A number that goes up and down.
class Gauge {
 public:
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(int64_t count) { value_.fetch_add(count, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

/// Counts of values by size, and their sum. A handle: the numbers are in the record.
class Histogram {
 public:
  Histogram() = default;
  Histogram(std::atomic<uint64_t>* values, std::span<const uint64_t> bounds)
      : values_(values), bounds_(bounds) {}
  /// Adds a value in the unit of memory (see FamilySpec::divisor): two relaxed additions.
  void observe(uint64_t value) const;
  /// The same for a time, of families that are kept in microseconds.
  void observe(base::Duration time) const {
    observe(static_cast<uint64_t>(std::max<int64_t>(time.count() / 1000, 0)));
  }
  bool is_valid() const { return values_ != nullptr; }

 private:
  friend class Registry;
  std::atomic<uint64_t>* values_ = nullptr;  // one for each bound, one for +Inf, the sum
  std::span<const uint64_t> bounds_;
};

/// The store of all series.
///
/// Shape:   drawn above; about 1.1 KB of address space for each series allowed, touched only when used.
/// Owner:   an area of the supervisor's segment; the handle is inherited by the fork. Pointers live as long
/// as it. Runs in: every process; lookups hash the label text and never block. Fails:   never: when full, the
/// pointer is that of the overflow series.
class Registry {
 public:
  static constexpr uint32_t kSeriesMaxDefault = 20000;
  static constexpr size_t kLabelBytesMax = 4096;
  static constexpr size_t kBoundsMax = 64;

  static size_t size_bytes(uint32_t series_max);
  /// Needs `size_bytes(series_max)` + 64 of the segment. `latency_bounds`, in microseconds, stand in for
  /// those that kHttpLatency is declared with.
  static base::Result<Registry> make(shm::Segment& segment, uint32_t series_max = kSeriesMaxDefault,
                                     std::span<const uint64_t> latency_bounds = {});

  /// The series of `family` with these labels (as Labels writes them; empty for none), made if it is new. The
  /// family must be of the type asked for.
  Counter* counter(Family family, std::string_view labels = {}) const;
  Gauge* gauge(Family family, std::string_view labels = {}) const;
  Histogram histogram(Family family, std::string_view labels = {}) const;
  /// The upper bounds of a histogram's buckets, in the unit of memory.
  std::span<const uint64_t> bounds_of(Family family) const;
  /// Notes when a series of a family that is dated was added to.
  static void date(Counter* counter, uint64_t date_s);
  static void date(const Histogram& histogram, uint64_t date_s);
  /// What such series are dated with: seconds of the machine's clock, the same in all processes, and never 0.
  static uint64_t date_of(base::SteadyTime now) {
    return 1 + static_cast<uint64_t>(
                   std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  }

  /// One series as the export sees it; views into shared memory.
  struct Series {
    Family family;
    std::string_view labels;
    const std::atomic<uint64_t>* values;
    size_t value_count;
    uint64_t date_s;  // 0: never dated
  };
  /// All series, in no order. Overflow series appear once they were used.
  std::vector<Series> list() const;
  uint32_t series_count() const;

 private:
  struct Header;
  struct IndexEntry;
  struct Record;

  size_t count_values(Family family) const;
  Record* find_or_make(Family family, std::string_view labels) const;
  Record* fill(IndexEntry& entry, Family family, std::string_view labels) const;
  Record* make_record(Family family, std::string_view labels) const;
  Record* record_at(uint64_t offset) const;
  Record* overflow(Family family) const;

  Header* header_ = nullptr;
  IndexEntry* index_ = nullptr;
};

}  // namespace moongate::metrics
