// SPDX-License-Identifier: Apache-2.0
#include "metrics/series_table.h"

#include <cstring>
#include <new>
#include <vector>

namespace moongate::metrics {

using State = SeriesRecord::State;
using Word = std::atomic<uint64_t>;

namespace {

constexpr size_t kRecordBytesAverage = 1024;
constexpr uint64_t kNever = 0;
constexpr uint64_t kGone = 1;  // no record is at this place, the head is

size_t round_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }
uint64_t blocks_for(size_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }
uint64_t record_blocks(size_t value_count) {
  return blocks_for(sizeof(SeriesRecord) + value_count * sizeof(uint64_t));
}

/// For records and label texts together.
uint64_t blocks_of(uint64_t series_max) {
  return (series_max + 2 * kFamilyCount) * (kRecordBytesAverage / kBlockBytes);
}

uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

struct alignas(kBlockBytes) SeriesTable::Head {
  shm::HashSeed seed;
  uint64_t series_max = 0;
  uint64_t index_count = 0;
  uint64_t map_begin = 0;
  uint64_t records_begin = 0;
  std::atomic<uint64_t> live_count{0};
  std::atomic<uint64_t> swept_s{0};
  alignas(kBlockBytes) std::atomic<uint32_t> generation{0};  // read with every request that is counted
  alignas(kBlockBytes) shm::RobustMutex mutex;
  std::atomic<uint64_t> used_bytes{0};
  uint64_t gone_count = 0;           // words of the index that are kGone
  uint64_t block_top = 0;            // see BlockMap
  uint32_t free[kFamilyCount] = {};  // places of the first ones
};

/// The lock, and the repair if its last owner died.
class SeriesTable::Lock {
 public:
  explicit Lock(const SeriesTable& table) : mutex_(table.head_->mutex) {
    if (mutex_.lock() == shm::RobustMutex::State::kClean) return;
    table.rebuild();
    mutex_.mark_repaired();
  }
  ~Lock() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  shm::RobustMutex& mutex_;
};

// Twice as many words as series, so that a search ends soon.
size_t SeriesTable::size_bytes(uint32_t series_max) {
  const uint64_t blocks = blocks_of(series_max);
  return sizeof(Head) + round_up(2 * size_t{series_max} * sizeof(Word), kBlockBytes) +
         round_up(BlockMap::size_bytes(blocks), kBlockBytes) + blocks * kBlockBytes;
}

SeriesTable SeriesTable::make(void* memory, uint32_t series_max) {
  SeriesTable table;
  table.head_ = new (memory) Head();
  Head& head = *table.head_;
  head.seed = shm::make_hash_seed();
  head.series_max = series_max;
  head.index_count = 2 * uint64_t{series_max};
  head.map_begin = sizeof(Head) + round_up(head.index_count * sizeof(Word), kBlockBytes);
  head.records_begin = size_bytes(series_max) - blocks_of(series_max) * kBlockBytes;
  head.used_bytes = head.records_begin;
  head.mutex.initialize();
  table.blocks().clear();
  return table;
}

char* SeriesTable::memory() const { return reinterpret_cast<char*>(head_); }
Word* SeriesTable::index() const { return reinterpret_cast<Word*>(head_ + 1); }

BlockMap SeriesTable::blocks() const {
  return {reinterpret_cast<uint64_t*>(memory() + head_->map_begin), blocks_of(head_->series_max),
          &head_->block_top};
}

/// The place of the map's first block.
uint64_t SeriesTable::first_place() const { return head_->records_begin / kBlockBytes; }

/// The block that the next record begins at; what is below it is the records'.
uint64_t SeriesTable::next_record() const {
  return head_->used_bytes.load(std::memory_order_relaxed) / kBlockBytes - first_place();
}

SeriesRecord* SeriesTable::record_at(uint64_t place) const {
  return reinterpret_cast<SeriesRecord*>(memory() + place * kBlockBytes);
}

uint64_t SeriesTable::place_of(const SeriesRecord& record) const {
  return static_cast<uint64_t>(reinterpret_cast<const char*>(&record) - memory()) / kBlockBytes;
}

uint64_t SeriesTable::hash_of(Family family, std::string_view labels) const {
  const shm::HashSeed seed{head_->seed.low, head_->seed.high + static_cast<uint64_t>(family)};
  return shm::keyed_hash(seed, labels);
}

/// What is seen of a record that is given back and used again at this moment is another text, or the search
/// finds it under the lock.
SeriesRecord* SeriesTable::find(Family family, std::string_view labels, uint64_t hash) const {
  for (uint64_t step = 0; step < head_->index_count; step++) {
    const uint64_t word = index()[(hash + step) % head_->index_count].load(std::memory_order_acquire);
    if (word == kNever) return nullptr;
    if (word == kGone || tag_of(word) != tag_of(hash)) continue;
    SeriesRecord* record = record_at(static_cast<uint32_t>(word));
    if (record->family == family && record->labels() == labels) return record;
  }
  return nullptr;
}

SeriesRecord* SeriesTable::find_or_make(Family family, std::string_view labels, size_t value_count) const {
  if (labels.size() > kLabelBytesMax) return nullptr;
  const uint64_t hash = hash_of(family, labels);
  if (SeriesRecord* record = find(family, labels, hash)) return record;
  if (head_->live_count.load(std::memory_order_relaxed) >= head_->series_max) return nullptr;
  const Lock lock(*this);
  if (SeriesRecord* record = find(family, labels, hash)) return record;
  if (head_->live_count.load(std::memory_order_relaxed) >= head_->series_max) return nullptr;
  SeriesRecord* record = take_record(family, labels, value_count);
  if (record == nullptr) return nullptr;
  record->tag = tag_of(hash);
  record->state.store(State::kLive, std::memory_order_release);
  put(*record, hash);
  head_->live_count.fetch_add(1, std::memory_order_relaxed);
  return record;
}

SeriesRecord* SeriesTable::make_apart(Family family, std::string_view labels, size_t value_count) const {
  const Lock lock(*this);
  SeriesRecord* record = take_record(family, labels, value_count);
  if (record != nullptr) record->state.store(State::kApart, std::memory_order_release);
  return record;
}

SeriesRecord* SeriesTable::take_record(Family family, std::string_view labels, size_t value_count) const {
  SeriesRecord* record = take_free(family);
  if (record == nullptr) record = carve(family, value_count);
  if (record == nullptr) return nullptr;
  uint64_t label = 0;
  if (!labels.empty()) {
    const auto block = blocks().take_last(blocks_for(labels.size()), next_record());
    if (!block) {
      push_free(*record);
      return nullptr;
    }
    const uint64_t place = first_place() + *block;
    std::memcpy(memory() + place * kBlockBytes, labels.data(), labels.size());
    label = (place - place_of(*record)) << 32 | labels.size();
  }
  for (size_t i = 0; i < value_count; i++) record->values()[i].store(0, std::memory_order_relaxed);
  record->label.store(label, std::memory_order_release);
  return record;
}

SeriesRecord* SeriesTable::take_free(Family family) const {
  uint32_t& first = head_->free[static_cast<size_t>(family)];
  if (first == 0) return nullptr;
  SeriesRecord* record = record_at(first);
  first = record->next_free;
  return record;
}

/// The sizes are there before the record counts as one.
SeriesRecord* SeriesTable::carve(Family family, size_t value_count) const {
  const uint64_t count = record_blocks(value_count);
  if (!blocks().take_at(next_record(), count)) return nullptr;
  const uint64_t used = head_->used_bytes.load(std::memory_order_relaxed);
  SeriesRecord* record = new (memory() + used) SeriesRecord{};
  record->family = family;
  record->value_count = static_cast<uint16_t>(value_count);
  head_->used_bytes.store(used + count * kBlockBytes, std::memory_order_release);
  return record;
}

/// Gives back the label text, too.
void SeriesTable::free_record(SeriesRecord& record) const {
  const uint64_t label = record.label.load(std::memory_order_relaxed);
  record.state.store(State::kFree, std::memory_order_relaxed);
  record.label.store(0, std::memory_order_release);
  if (label != 0)
    blocks().give(place_of(record) + (label >> 32) - first_place(), blocks_for(label & UINT32_MAX));
  push_free(record);
}

void SeriesTable::push_free(SeriesRecord& record) const {
  uint32_t& first = head_->free[static_cast<size_t>(record.family)];
  record.next_free = first;
  first = static_cast<uint32_t>(place_of(record));
}

void SeriesTable::put(SeriesRecord& record, uint64_t hash) const {
  for (uint64_t step = 0; step < head_->index_count; step++) {
    Word& word = index()[(hash + step) % head_->index_count];
    const uint64_t there = word.load(std::memory_order_relaxed);
    if (there != kNever && there != kGone) continue;
    if (there == kGone) head_->gone_count--;
    word.store(uint64_t{record.tag} << 32 | place_of(record), std::memory_order_release);
    return;
  }
}

/// Words that were used, before one that never was, hold no search up any more.
void SeriesTable::remove(const SeriesRecord& record) const {
  const uint64_t count = head_->index_count;
  const uint64_t own = uint64_t{record.tag} << 32 | place_of(record);
  uint64_t at = hash_of(record.family, const_cast<SeriesRecord&>(record).labels()) % count;
  for (uint64_t step = 0; step < count; step++, at = (at + 1) % count) {
    const uint64_t there = index()[at].load(std::memory_order_relaxed);
    if (there == kNever) return;
    if (there == own) break;
  }
  index()[at].store(kGone, std::memory_order_release);
  head_->gone_count++;
  if (index()[(at + 1) % count].load(std::memory_order_relaxed) != kNever) return;
  for (; index()[at].load(std::memory_order_relaxed) == kGone; at = (at + count - 1) % count) {
    index()[at].store(kNever, std::memory_order_release);
    head_->gone_count--;
  }
}

/// Records are never moved, and who has made one says so when it can be read.
void SeriesTable::each(const Visitor& visit) const {
  const uint64_t end = head_->used_bytes.load(std::memory_order_acquire);
  for (uint64_t at = head_->records_begin; at < end;) {
    SeriesRecord& record = *record_at(at / kBlockBytes);
    at += record_blocks(record.value_count) * kBlockBytes;
    visit(record);
  }
}

void SeriesTable::each_live(const Visitor& visit) const {
  each([&visit](SeriesRecord& record) {
    if (record.state.load(std::memory_order_acquire) == State::kLive) visit(record);
  });
}

/// The index, the map and the lists of what is free, from the records. A search without the lock may miss
/// meanwhile, and then waits for it.
void SeriesTable::rebuild() const {
  for (uint64_t i = 0; i < head_->index_count; i++) index()[i].store(kNever, std::memory_order_relaxed);
  std::memset(head_->free, 0, sizeof head_->free);
  head_->gone_count = 0;
  blocks().clear();
  blocks().take_at(0, next_record());
  uint64_t live = 0;
  each([&](SeriesRecord& record) {
    const State state = record.state.load(std::memory_order_relaxed);
    const uint64_t label = record.label.load(std::memory_order_relaxed);
    if (state == State::kFree)
      push_free(record);
    else if (label != 0)
      blocks().take_at(place_of(record) + (label >> 32) - first_place(), blocks_for(label & UINT32_MAX));
    if (state != State::kLive) return;
    put(record, hash_of(record.family, record.labels()));
    live++;
  });
  head_->live_count.store(live, std::memory_order_relaxed);
}

uint32_t SeriesTable::live_count() const {
  return static_cast<uint32_t>(head_->live_count.load(std::memory_order_relaxed));
}

uint32_t SeriesTable::generation() const { return head_->generation.load(std::memory_order_acquire); }

void SeriesTable::take_out(uint64_t now_s, const std::function<bool(SeriesRecord&)>& is_old) const {
  bool has_any = false;
  std::vector<uint64_t> before;
  each_live([&](SeriesRecord& record) {
    before.resize(record.value_count);
    for (size_t i = 0; i < before.size(); i++) before[i] = record.values()[i].load(std::memory_order_acquire);
    if (!is_old(record)) return;
    {
      const Lock lock(*this);
      remove(record);
      record.retired_s.store(now_s, std::memory_order_relaxed);
      record.state.store(State::kRetired, std::memory_order_release);
      head_->live_count.fetch_sub(1, std::memory_order_relaxed);
    }
    // Only what somebody adds from now on stays in it.
    for (size_t i = 0; i < before.size(); i++)
      record.values()[i].fetch_sub(before[i], std::memory_order_relaxed);
    has_any = true;
  });
  if (!has_any) return;
  head_->generation.fetch_add(1, std::memory_order_release);
  const Lock lock(*this);
  if (head_->gone_count > head_->index_count / 8) rebuild();
}

void SeriesTable::release(uint64_t now_s, const Visitor& rescue) const {
  bool has_any = false;
  each([&](SeriesRecord& record) {
    if (record.state.load(std::memory_order_acquire) != State::kRetired) return;
    if (record.retired_s.load(std::memory_order_relaxed) + kGraceSeconds > now_s) return;
    rescue(record);
    const Lock lock(*this);
    free_record(record);
    has_any = true;
  });
  // There is memory again: who was given the overflow series for want of it may ask once more.
  if (has_any) head_->generation.fetch_add(1, std::memory_order_release);
}

bool SeriesTable::is_due(uint64_t now_s, uint64_t period_s) const {
  if (now_s < head_->swept_s.load(std::memory_order_relaxed) + period_s) return false;
  head_->swept_s.store(now_s, std::memory_order_relaxed);
  return true;
}

}  // namespace moongate::metrics
