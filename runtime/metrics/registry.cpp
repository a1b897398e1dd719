// SPDX-License-Identifier: Apache-2.0
#include "metrics/registry.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/assert.h"
#include "shm/keyed_hash.h"

namespace moongate::metrics {

namespace {

constexpr size_t kRecordAlignment = 64;
constexpr size_t kRecordBytesAverage = 1024;
constexpr std::string_view kOverflowLabels = "overflow=\"true\"";
constexpr uint32_t kSeriesMaxLowest = 100;  // those made at the start must fit
constexpr uint32_t kSeriesMaxHighest = 1u << 22;

std::string dropped_labels(Family family) {
  std::string labels = "metric=\"";
  labels += family_spec(family).name;
  labels += '"';
  return labels;
}

size_t round_up(size_t size) { return (size + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment; }

}  // namespace

struct alignas(64) Registry::Header {
  shm::HashSeed seed;
  uint64_t series_max = 0;
  uint64_t index_count = 0;
  uint64_t size_bytes = 0;
  std::atomic<uint64_t> series_count{0};
  std::atomic<uint64_t> used_bytes{0};  // of the whole area; may pass size_bytes, then the area is full
  uint64_t overflow_offsets[kFamilyCount] = {};
  uint64_t latency_bound_count = 0;
  uint64_t latency_bounds[kBoundsMax] = {};
};

struct Registry::IndexEntry {
  std::atomic<uint64_t> hash;
  std::atomic<uint64_t> offset;
};

/// The values follow at once, then the label text.
struct Registry::Record {
  Family family;
  uint16_t value_count;
  uint32_t label_size;

  std::atomic<uint64_t>* values() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
  char* label_text() { return reinterpret_cast<char*>(values() + value_count); }
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

size_t Registry::size_bytes(uint32_t series_max) {
  return round_up(sizeof(Header)) + 2 * size_t{series_max} * sizeof(IndexEntry) +
         (size_t{series_max} + 2 * kFamilyCount) * kRecordBytesAverage;
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
  registry.index_ = reinterpret_cast<IndexEntry*>(static_cast<char*>(memory) + round_up(sizeof(Header)));
  Header& header = *registry.header_;
  header.seed = shm::make_hash_seed();
  header.index_count = 2 * uint64_t{series_max};
  header.series_max = series_max;
  header.size_bytes = size;
  header.latency_bound_count = latency_bounds.size();
  std::copy(latency_bounds.begin(), latency_bounds.end(), header.latency_bounds);
  header.used_bytes = round_up(round_up(sizeof(Header)) + 2 * size_t{series_max} * sizeof(IndexEntry));
  for (size_t i = 0; i < kFamilyCount; ++i) {
    Record* record = registry.make_record(static_cast<Family>(i), kOverflowLabels);
    MG_ASSERT(record != nullptr);
    header.overflow_offsets[i] =
        static_cast<uint64_t>(reinterpret_cast<char*>(record) - static_cast<char*>(memory));
  }
  // These are wanted when nothing else can be made any more.
  for (size_t i = 0; i < kFamilyCount; ++i) {
    Record* record =
        registry.find_or_make(Family::kMetricSeriesDropped, dropped_labels(static_cast<Family>(i)));
    MG_ASSERT(record != nullptr);
  }
  return registry;
}

Registry::Record* Registry::record_at(uint64_t offset) const {
  return reinterpret_cast<Record*>(reinterpret_cast<char*>(header_) + offset);
}

Registry::Record* Registry::make_record(Family family, std::string_view labels) const {
  const size_t count = count_values(family) + (family_spec(family).is_dated ? 1 : 0);
  const size_t size = round_up((1 + count) * sizeof(uint64_t) + labels.size());
  if (header_->used_bytes.load(std::memory_order_relaxed) + size > header_->size_bytes) return nullptr;
  const uint64_t offset = header_->used_bytes.fetch_add(size, std::memory_order_relaxed);
  if (offset + size > header_->size_bytes) return nullptr;
  Record* record = record_at(offset);  // the memory is zeroed, and so are the values
  record->family = family;
  record->value_count = static_cast<uint16_t>(count);
  record->label_size = static_cast<uint32_t>(labels.size());
  if (!labels.empty()) std::memcpy(record->label_text(), labels.data(), labels.size());
  return record;
}

/// Gives an index entry its record, or finds that another process has.
Registry::Record* Registry::fill(IndexEntry& entry, Family family, std::string_view labels) const {
  uint64_t offset = entry.offset.load(std::memory_order_acquire);
  if (offset != 0) return record_at(offset);
  Record* record = make_record(family, labels);
  if (record == nullptr) return nullptr;
  const auto made = static_cast<uint64_t>(reinterpret_cast<char*>(record) - reinterpret_cast<char*>(header_));
  if (entry.offset.compare_exchange_strong(offset, made, std::memory_order_acq_rel)) return record;
  return record_at(offset);
}

Registry::Record* Registry::find_or_make(Family family, std::string_view labels) const {
  if (labels.size() > kLabelBytesMax) return nullptr;
  const shm::HashSeed seed{header_->seed.low, header_->seed.high + static_cast<uint64_t>(family)};
  const uint64_t hash = std::max<uint64_t>(1, shm::keyed_hash(seed, labels));
  // The index has twice as many entries as series may exist, so a free one is near.
  for (uint64_t step = 0; step < header_->index_count; ++step) {
    IndexEntry& entry = index_[(hash + step) % header_->index_count];
    uint64_t seen = entry.hash.load(std::memory_order_acquire);
    if (seen == 0) {
      // Processes that pass this line together may go over the limit by their number; there is room for that.
      if (header_->series_count.load(std::memory_order_relaxed) >= header_->series_max) return nullptr;
      if (entry.hash.compare_exchange_strong(seen, hash)) {
        header_->series_count.fetch_add(1, std::memory_order_relaxed);
        return fill(entry, family, labels);
      }
    }
    if (seen == hash) return fill(entry, family, labels);
  }
  return nullptr;
}

Registry::Record* Registry::overflow(Family family) const {
  Record* dropped = find_or_make(Family::kMetricSeriesDropped, dropped_labels(family));
  if (dropped != nullptr) dropped->values()->fetch_add(1, std::memory_order_relaxed);
  return record_at(header_->overflow_offsets[static_cast<size_t>(family)]);
}

Counter* Registry::counter(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kCounter);
  Record* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return reinterpret_cast<Counter*>(record->values());
}

Gauge* Registry::gauge(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kGauge);
  Record* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return reinterpret_cast<Gauge*>(record->values());
}

Histogram Registry::histogram(Family family, std::string_view labels) const {
  MG_ASSERT(family_spec(family).type == Type::kHistogram);
  Record* record = find_or_make(family, labels);
  if (record == nullptr) record = overflow(family);
  return Histogram(record->values(), bounds_of(family));
}

std::vector<Registry::Series> Registry::list() const {
  std::vector<Series> all;
  const auto append = [&all](Record* record) {
    const bool is_dated = family_spec(record->family).is_dated;
    const size_t count = record->value_count - (is_dated ? 1U : 0U);
    all.push_back(Series{record->family,
                         {record->label_text(), record->label_size},
                         record->values(),
                         count,
                         is_dated ? record->values()[count].load(std::memory_order_relaxed) : 0});
  };
  for (uint64_t i = 0; i < header_->index_count; ++i) {
    const uint64_t offset = index_[i].offset.load(std::memory_order_acquire);
    if (offset != 0) append(record_at(offset));
  }
  for (uint64_t offset : header_->overflow_offsets) {
    Record* record = record_at(offset);
    const auto* values = record->values();
    const bool is_used = std::any_of(values, values + record->value_count, [](const auto& value) {
      return value.load(std::memory_order_relaxed) != 0;
    });
    if (is_used) append(record);
  }
  return all;
}

uint32_t Registry::series_count() const {
  return static_cast<uint32_t>(header_->series_count.load(std::memory_order_relaxed));
}

}  // namespace moongate::metrics
