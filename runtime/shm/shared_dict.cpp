// SPDX-License-Identifier: Apache-2.0
#include "shm/shared_dict.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace moongate::shm {

namespace {

constexpr size_t kShardsMax = 16;
constexpr size_t kShardBytesWanted = size_t{1} << 20;
constexpr uint32_t kWalkCellsMax = 4096;
constexpr int64_t kExpiredLongAgo = 1;
constexpr double kTtlMaxS = 3e9;  // about 95 years; longer is for ever

/// The monotonic clock, which all processes of the machine share: whoever sets the calendar ends no entry
/// early.
int64_t steady_ns() { return base::Clock::steady().time_since_epoch().count(); }

bool is_expired(const DictShard& shard, uint32_t cell, int64_t now_ns) {
  const int64_t at = shard.expires_ns(cell);
  return at != 0 && at <= now_ns;
}

/// When something that lives `ttl_s` from now expires; 0 for never.
int64_t expiry(double ttl_s, int64_t now_ns) {
  if (!(ttl_s > 0) || ttl_s > kTtlMaxS) return 0;
  return now_ns + std::max<int64_t>(1, static_cast<int64_t>(std::ceil(ttl_s * 1e9)));
}

bool is_list(const DictShard& shard, uint32_t cell) { return shard.type(cell) == DictValue::Type::kList; }

size_t text_size(const DictValue& value) {
  return value.type == DictValue::Type::kString ? value.text.size() : 0;
}

class Guard {
 public:
  explicit Guard(DictShard& shard) : shard_(shard) { shard_.lock(); }
  ~Guard() { shard_.unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  DictShard& shard_;
};

}  // namespace

/// The shard of a key, locked, and where the key is in it.
struct SharedDict::Locked {
  DictShard& shard;
  uint32_t hash;
  Guard guard;
  uint32_t cell;  // kNone: not there
  int64_t now_ns;
  bool is_live;  // there and not expired

  Locked(DictShard& where, uint32_t key_hash, std::string_view key)
      : shard(where),
        hash(key_hash),
        guard(where),
        cell(where.find(key_hash, key)),
        now_ns(steady_ns()),
        is_live(cell != DictShard::kNone && !is_expired(where, cell, now_ns)) {}
};

base::Result<SharedDict> SharedDict::make(Segment& segment, std::string name, size_t size_bytes) {
  if (size_bytes < kSizeBytesMin) {
    return base::invalid("shared_memory.dicts." + name + ": " + std::to_string(size_bytes) +
                         " bytes are too few; at least " + std::to_string(kSizeBytesMin) + " are needed");
  }
  const size_t shard_count =
      std::bit_floor(std::clamp<size_t>(size_bytes / kShardBytesWanted, 1, kShardsMax));
  const size_t shard_bytes = size_bytes / shard_count / 128 * 128;
  if (shard_bytes / DictShard::kCellBytes >= DictShard::kNone) {
    return base::invalid("shared_memory.dicts." + name + ": larger than 8 TB");
  }
  auto* memory = static_cast<char*>(segment.area("dict." + name, shard_bytes * shard_count, 128));
  if (memory == nullptr) {
    return base::invalid("shared memory: no room for dictionary " + name + " of " +
                         std::to_string(size_bytes) + " bytes, or two of that name");
  }
  SharedDict dict;
  dict.name_ = std::move(name);
  dict.size_ = size_bytes;
  dict.seed_ = make_hash_seed();
  for (size_t i = 0; i < shard_count; ++i)
    dict.shards_.push_back(DictShard::make(memory + i * shard_bytes, shard_bytes));
  return dict;
}

SharedDict::Locked SharedDict::locate(std::string_view key) {
  const uint64_t hash = keyed_hash(seed_, key);
  return Locked(shards_[(hash >> 32) & (shards_.size() - 1)], static_cast<uint32_t>(hash), key);
}

DictStatus SharedDict::get(std::string_view key, bool is_stale_wanted, std::string& buffer, DictValue& out) {
  Locked at = locate(key);
  if (at.cell == DictShard::kNone || (!at.is_live && !is_stale_wanted)) return DictStatus::kNotFound;
  if (is_list(at.shard, at.cell)) return DictStatus::kWrongType;
  at.shard.touch(at.cell);
  out = at.shard.read(at.cell, buffer);
  return at.is_live ? DictStatus::kDone : DictStatus::kStale;
}

/// Removes up to two entries that have expired at the far end, so that a dictionary whose keys all expire
/// empties itself.
void SharedDict::drop_some_expired(DictShard& shard, int64_t now_ns) {
  for (int i = 0; i < 2; ++i) {
    const uint32_t cell = shard.oldest();
    if (cell == DictShard::kNone || !is_expired(shard, cell, now_ns)) return;
    shard.remove(cell);
  }
}

bool SharedDict::make_room(DictShard& shard, size_t cells, bool& is_forcible) {
  const int64_t now_ns = steady_ns();
  for (int i = 0; i < kEvictionsMax && !shard.has_room(cells); ++i) {
    const uint32_t cell = shard.oldest();
    if (cell == DictShard::kNone) break;
    is_forcible |= !is_expired(shard, cell, now_ns);
    shard.remove(cell);
  }
  return shard.has_room(cells);
}

/// Puts `entry` in the place of `old`, which may be kNone.
DictStatus SharedDict::insert(Locked& at, uint32_t old, const DictShard::Entry& entry, bool is_safe,
                              bool& is_forcible) {
  const size_t cells = DictShard::entry_cells(entry.key.size() + text_size(entry.value));
  if (!fits(at.shard, cells)) return DictStatus::kNoMemory;
  if (!at.shard.has_room(cells)) {
    const size_t given_back = old == DictShard::kNone ? 0 : at.shard.cells_of(old);
    if (is_safe && !at.shard.has_room(cells - std::min(cells, given_back))) return DictStatus::kNoMemory;
    if (old != DictShard::kNone) at.shard.remove(old);
    old = DictShard::kNone;
    if (!is_safe && !make_room(at.shard, cells, is_forcible)) return DictStatus::kNoMemory;
  }
  at.shard.insert(entry);
  if (old != DictShard::kNone) at.shard.remove(old);
  return DictStatus::kDone;
}

DictStatus SharedDict::store(DictStore how, std::string_view key, const DictValue& value, double ttl_s,
                             bool& is_forcible) {
  is_forcible = false;
  if (key.size() > kKeyBytesMax) return DictStatus::kNoMemory;
  Locked at = locate(key);
  const bool is_add = how == DictStore::kAdd || how == DictStore::kSafeAdd;
  const bool is_safe = how == DictStore::kSafeSet || how == DictStore::kSafeAdd;
  if (is_add && at.is_live) return DictStatus::kExists;
  if (how == DictStore::kReplace && !at.is_live) return DictStatus::kNotFound;
  if (value.type == DictValue::Type::kNil) {
    if (at.cell != DictShard::kNone) at.shard.remove(at.cell);
    return DictStatus::kDone;
  }
  drop_some_expired(at.shard, at.now_ns);
  const uint32_t old = at.shard.find(at.hash, key);
  const DictShard::Entry entry{at.hash, key, value, expiry(ttl_s, at.now_ns)};
  return insert(at, old, entry, is_safe, is_forcible);
}

DictStatus SharedDict::remove(std::string_view key) {
  Locked at = locate(key);
  if (at.cell != DictShard::kNone) at.shard.remove(at.cell);
  return DictStatus::kDone;
}

DictStatus SharedDict::increment(std::string_view key, const Increment& increment, double& out,
                                 bool& is_forcible) {
  is_forcible = false;
  if (key.size() > kKeyBytesMax) return DictStatus::kNoMemory;
  Locked at = locate(key);
  if (at.is_live) {
    if (at.shard.type(at.cell) != DictValue::Type::kNumber) return DictStatus::kNotNumber;
    out = at.shard.number(at.cell) + increment.by;
    at.shard.set_number(at.cell, out);
    at.shard.touch(at.cell);
    return DictStatus::kDone;
  }
  if (!increment.has_init) return DictStatus::kNotFound;
  drop_some_expired(at.shard, at.now_ns);
  DictValue value;
  value.type = DictValue::Type::kNumber;
  value.number = increment.init + increment.by;
  const uint32_t old = at.shard.find(at.hash, key);
  const DictShard::Entry entry{at.hash, key, value, expiry(increment.init_ttl_s, at.now_ns)};
  const DictStatus status = insert(at, old, entry, false, is_forcible);
  if (status == DictStatus::kDone) out = value.number;
  return status;
}

DictStatus SharedDict::set_ttl(std::string_view key, double ttl_s) {
  Locked at = locate(key);
  if (!at.is_live) return DictStatus::kNotFound;
  at.shard.set_expires_ns(at.cell, expiry(ttl_s, at.now_ns));
  return DictStatus::kDone;
}

DictStatus SharedDict::get_ttl(std::string_view key, double& out_s) {
  Locked at = locate(key);
  if (!at.is_live) return DictStatus::kNotFound;
  const int64_t expires_ns = at.shard.expires_ns(at.cell);
  out_s = expires_ns == 0 ? 0 : static_cast<double>(expires_ns - at.now_ns) / 1e9;
  return DictStatus::kDone;
}

DictStatus SharedDict::push(std::string_view key, bool is_left, const DictValue& value, uint32_t& length) {
  if (value.type != DictValue::Type::kString && value.type != DictValue::Type::kNumber)
    return DictStatus::kWrongType;
  if (key.size() > kKeyBytesMax) return DictStatus::kNoMemory;
  Locked at = locate(key);
  if (at.is_live && !is_list(at.shard, at.cell)) return DictStatus::kWrongType;
  if (!at.is_live) drop_some_expired(at.shard, at.now_ns);
  uint32_t cell = at.shard.find(at.hash, key);
  if (cell != DictShard::kNone && !at.is_live) at.shard.remove(std::exchange(cell, DictShard::kNone));
  const size_t node_cells = DictShard::node_cells(text_size(value));
  const size_t head_cells = cell == DictShard::kNone ? DictShard::entry_cells(key.size()) : 0;
  if (!fits(at.shard, node_cells + head_cells) || !at.shard.has_room(node_cells + head_cells)) {
    return DictStatus::kNoMemory;
  }
  if (cell == DictShard::kNone) {
    DictValue list;
    list.type = DictValue::Type::kList;
    cell = at.shard.insert(DictShard::Entry{at.hash, key, list, 0});
  }
  at.shard.touch(cell);
  at.shard.list_push(cell, is_left, value);
  length = at.shard.list_length(cell);
  return DictStatus::kDone;
}

DictStatus SharedDict::pop(std::string_view key, bool is_left, std::string& buffer, DictValue& out) {
  Locked at = locate(key);
  if (!at.is_live) return DictStatus::kNotFound;
  if (!is_list(at.shard, at.cell)) return DictStatus::kWrongType;
  if (at.shard.list_length(at.cell) > 1) {
    at.shard.touch(at.cell);
    out = at.shard.list_pop(at.cell, is_left, buffer);
    return DictStatus::kDone;
  }
  out = at.shard.list_peek(at.cell, is_left, buffer);
  at.shard.remove(at.cell);
  return DictStatus::kDone;
}

DictStatus SharedDict::get_length(std::string_view key, uint32_t& length) {
  Locked at = locate(key);
  length = 0;
  if (!at.is_live) return DictStatus::kDone;
  if (!is_list(at.shard, at.cell)) return DictStatus::kWrongType;
  length = at.shard.list_length(at.cell);
  return DictStatus::kDone;
}

void SharedDict::flush_all() {
  for (DictShard& shard : shards_) {
    Guard guard(shard);
    for (uint32_t cell = shard.oldest(); cell != DictShard::kNone; cell = shard.newer_than(cell)) {
      shard.set_expires_ns(cell, kExpiredLongAgo);
    }
  }
}

uint32_t SharedDict::flush_expired(uint32_t max) {
  const int64_t now_ns = steady_ns();
  uint32_t count = 0;
  for (DictShard& shard : shards_) {
    Guard guard(shard);
    for (uint32_t cell = shard.oldest(); cell != DictShard::kNone && (max == 0 || count < max);) {
      const uint32_t next = shard.newer_than(cell);
      if (is_expired(shard, cell, now_ns)) {
        shard.remove(cell);
        ++count;
      }
      cell = next;
    }
  }
  return count;
}

bool SharedDict::next_key(uint64_t& cursor, std::string& key) {
  const int64_t now_ns = steady_ns();
  // The cursor is shard and cell. The lock is let go now and then: a walk must not hold up the workers.
  while ((cursor >> 32) < shards_.size()) {
    DictShard& shard = shards_[cursor >> 32];
    Guard guard(shard);
    for (uint32_t i = 0; i < kWalkCellsMax; ++i) {
      const auto cell = static_cast<uint32_t>(cursor);
      if (cell >= shard.cell_count()) {
        cursor = ((cursor >> 32) + 1) << 32;
        break;
      }
      ++cursor;
      if (!shard.is_entry(cell) || is_expired(shard, cell, now_ns)) continue;
      shard.read_key(cell, key);
      return true;
    }
  }
  return false;
}

size_t SharedDict::free_bytes() {
  size_t cells = 0;
  for (DictShard& shard : shards_) {
    Guard guard(shard);
    cells += shard.free_cells();
  }
  return cells * DictShard::kCellBytes;
}

uint64_t SharedDict::repair_count() {
  uint64_t count = 0;
  for (DictShard& shard : shards_) {
    Guard guard(shard);
    count += shard.repair_count();
  }
  return count;
}

}  // namespace moongate::shm
