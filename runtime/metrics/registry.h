// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms that all processes add to, found by metric and label text. A worker looks a
// series up once, keeps the pointer, and from then on an increment is one relaxed atomic addition. Where they
// are kept is metrics/series_table.h's.
//
// Past the limit all new label sets of a metric share its series `overflow="true"`, made at the start, and a
// counter tells how often that happened: a million label values cost no more memory than the limit. Series of
// families that are dated give their places back when nothing was added to them for long.
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
#include "metrics/series_table.h"
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

/// After how many seconds without an addition series of a family are old; 0: never.
using Expiry = std::vector<std::pair<Family, uint64_t>>;

/// The store of all series.
///
/// Shape:   a SeriesTable; about 1.1 KB of address space for each series allowed, touched only when used.
/// Owner:   an area of the supervisor's segment; the handle is inherited by the fork. Pointers live as long
/// as it, those of families that are dated as long as generation() stays the same: what is added later is
/// lost, or counted for others. Runs in: every process; lookups hash the label text, and block only where
/// processes make series at the same moment. Fails:   never: when full, the pointer is that of the overflow
/// series.
class Registry {
 public:
  static constexpr uint32_t kSeriesMaxDefault = 20000;
  static constexpr size_t kBoundsMax = 64;
  /// Above this share of the places series that are dated are old after kCrowdedSeconds at most.
  static constexpr double kCrowdedShare = 0.8;
  static constexpr uint64_t kCrowdedSeconds = 3600;

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
  /// Notes when a series of a family that is dated was added to; before it is, so that nothing is old which
  /// is being added to.
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

  /// The number under which pointers to series that are dated hold.
  uint32_t generation() const { return table_.generation(); }
  /// True when give_back() should be called, which is not more often than kSweepSeconds.
  bool is_sweep_due(uint64_t now_s) const { return table_.is_due(now_s, kSweepSeconds); }
  /// Gives back the places of series that are old. For one process only. Nothing that is counted meanwhile is
  /// lost; a series that comes back begins at 0.
  void give_back(uint64_t now_s, const Expiry& expiry) const;

 private:
  static constexpr uint64_t kSweepSeconds = 10;
  struct Header;

  size_t count_values(Family family) const;
  size_t record_values(Family family) const;
  SeriesRecord* find_or_make(Family family, std::string_view labels) const;
  SeriesRecord* overflow(Family family) const;
  bool is_old(SeriesRecord& record, uint64_t now_s, const Expiry& expiry, bool is_crowded) const;
  void rescue(SeriesRecord& record, uint64_t now_s) const;

  Header* header_ = nullptr;
  SeriesTable table_;
};

}  // namespace moongate::metrics
