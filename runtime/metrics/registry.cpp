// SPDX-License-Identifier: Apache-2.0
#include "metrics/registry.h"

#include <algorithm>
#include <new>

#include "base/assert.h"

namespace moongate::metrics {

namespace {

constexpr std::string_view kOverflowLabels = "overflow=\"true\"";
constexpr uint32_t kSeriesMaxLowest = 100;  // those made at the start must fit
constexpr uint32_t kSeriesMaxHighest = 1u << 22;

std::string dropped_labels(Family family) {
  std::string labels = "metric=\"";
  labels += family_spec(family).name;
  labels += '"';
  return labels;
}

}  // namespace

struct alignas(64) Registry::Header {
  SeriesRecord* overflow[kFamilyCount] = {};  // the segment is at one address in all processes
  uint32_t series_max = 0;
  uint64_t latency_bound_count = 0;
  uint64_t latency_bounds[kBoundsMax] = {};
};

void Histogram::observe(uint64_t value) const {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  values_[bound - bounds_.begin()].fetch_add(1, std::memory_order_relaxed);
  values_[bounds_.size() + 1].fetch_add(value, std::memory_order_relaxed);
}

// The date lies behind the values.
void Registry::date(Counter* counter, uint64_t date_s) {
  reinterpret_cast<std::atomic<uint64_t>*>(counter)[1].store(date_s, std::memory_order_relaxed);
}

void Registry::date(const Histogram& histogram, uint64_t date_s) {
  histogram.values_[histogram.bounds_.size() + 2].store(date_s, std::memory_order_relaxed);
}

std::span<const uint64_t> Registry::bounds_of(Family family) const {
  if (family == Family::kHttpLatency) return {header_->latency_bounds, header_->latency_bound_count};
  return family_spec(family).bounds;
}

size_t Registry::count_values(Family family) const {
  return family_spec(family).type == Type::kHistogram ? bounds_of(family).size() + 2 : 1;
}

size_t Registry::record_values(Family family) const {
  return count_values(family) + (family_spec(family).is_dated ? 1 : 0);
}

size_t Registry::size_bytes(uint32_t series_max) {
  return sizeof(Header) + SeriesTable::size_bytes(series_max);
}

base::Result<Registry> Registry::make(shm::Segment& segment, uint32_t series_max,
                                      std::span<const uint64_t> latency_bounds) {
  if (latency_bounds.empty()) latency_bounds = family_spec(Family::kHttpLatency).bounds;
  MG_ASSERT(latency_bounds.size() <= kBoundsMax);
  if (series_max < kSeriesMaxLowest || series_max > kSeriesMaxHighest) {
    return base::invalid("metrics: the limit of series is " + std::to_string(series_max) +
                         "; it must be between " + std::to_string(kSeriesMaxLowest) + " and " +
                         std::to_string(kSeriesMaxHighest));
  }
  const size_t size = size_bytes(series_max);
  void* memory = segment.area("metrics", size);
  if (memory == nullptr) {
    return base::invalid("shared memory: no room for " + std::to_string(size) + " bytes of metrics");
  }
  Registry registry;
  registry.header_ = new (memory) Header();
  registry.table_ = SeriesTable::make(registry.header_ + 1, series_max);
  Header& header = *registry.header_;
  header.series_max = series_max;
  header.latency_bound_count = latency_bounds.size();
  std::copy(latency_bounds.begin(), latency_bounds.end(), header.latency_bounds);
  for (size_t i = 0; i < kFamilyCount; ++i) {
    const auto family = static_cast<Family>(i);
    header.overflow[i] = registry.table_.make_apart(family, kOverflowLabels, registry.record_values(family));
    MG_ASSERT(header.overflow[i] != nullptr);
  }
  // These are wanted when nothing else can be made any more.
  for (size_t i = 0; i < kFamilyCount; ++i) {
    const auto family = static_cast<Family>(i);
    MG_ASSERT(registry.find_or_make(Family::kMetricSeriesDropped, dropped_labels(family)) != nullptr);
  }
  return registry;
}

SeriesRecord* Registry::find_or_make(Family family, std::string_view labels) const {
  return table_.find_or_make(family, labels, record_values(family));
}

SeriesRecord* Registry::overflow(Family family) const {
  SeriesRecord* dropped = find_or_make(Family::kMetricSeriesDropped, dropped_labels(family));
  if (dropped != nullptr) dropped->values()->fetch_add(1, std::memory_order_relaxed);
  return header_->overflow[static_cast<size_t>(family)];
}

Counter* Registry::counter(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kCounter);
  SeriesRecord* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return reinterpret_cast<Counter*>(record->values());
}

Gauge* Registry::gauge(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kGauge);
  SeriesRecord* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return reinterpret_cast<Gauge*>(record->values());
}

Histogram Registry::histogram(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kHistogram);
  SeriesRecord* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return Histogram(record->values(), bounds_of(family));
}

std::vector<Registry::Series> Registry::list() const {
  std::vector<Series> all;
  const auto append = [&](SeriesRecord& record) {
    const size_t count = count_values(record.family);
    const bool is_dated = record.value_count > count;
    all.push_back(Series{record.family, record.labels(), record.values(), count,
                         is_dated ? record.values()[count].load(std::memory_order_relaxed) : 0});
  };
  table_.each_live(append);
  for (SeriesRecord* record : header_->overflow) {
    const auto* values = record->values();
    const bool is_used = std::any_of(values, values + record->value_count, [](const auto& value) {
      return value.load(std::memory_order_relaxed) != 0;
    });
    if (is_used) append(*record);
  }
  return all;
}

uint32_t Registry::series_count() const { return table_.live_count(); }

bool Registry::is_old(SeriesRecord& record, uint64_t now_s, const Expiry& expiry, bool is_crowded) const {
  if (!family_spec(record.family).is_dated) return false;
  const uint64_t date_s = record.values()[count_values(record.family)].load(std::memory_order_acquire);
  if (date_s == 0) return false;  // made a moment ago
  uint64_t limit_s = is_crowded ? kCrowdedSeconds : UINT64_MAX;
  for (const auto& [family, seconds] : expiry)
    if (family == record.family && seconds > 0) limit_s = std::min(limit_s, seconds);
  return now_s > date_s && now_s - date_s > limit_s;
}

/// Puts what was added to a series after it was taken out where it belongs.
void Registry::rescue(SeriesRecord& record, uint64_t now_s) const {
  const size_t count = count_values(record.family);
  std::atomic<uint64_t>* late = record.values();
  if (std::all_of(late, late + count, [](const auto& value) { return value.load() == 0; })) return;
  SeriesRecord* series = find_or_make(record.family, record.labels());
  if (series == nullptr) series = overflow(record.family);
  series->values()[count].store(now_s, std::memory_order_relaxed);
  for (size_t i = 0; i < count; i++) series->values()[i].fetch_add(late[i].exchange(0));
}

void Registry::give_back(uint64_t now_s, const Expiry& expiry) const {
  const bool is_crowded = series_count() > header_->series_max * kCrowdedShare;
  table_.release(now_s, [&](SeriesRecord& record) { rescue(record, now_s); });
  table_.take_out(now_s, [&](SeriesRecord& record) { return is_old(record, now_s, expiry, is_crowded); });
}

}  // namespace moongate::metrics
