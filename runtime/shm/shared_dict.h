// SPDX-License-Identifier: Apache-2.0
// `ngx.shared.NAME`: keys and values that all workers share, with expiry and eviction of what was used
// longest ago. This file has the rules and the locks; dict_shard.h has the memory. Counting requests is not
// its work: limit/ does that without a lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "shm/dict_shard.h"
#include "shm/keyed_hash.h"
#include "shm/segment.h"

namespace moongate::shm {

enum class DictStatus : uint8_t {
  kDone,
  kNotFound,
  kExists,
  kNoMemory,
  kNotNumber,
  kStale,      // get_stale: the value is there but has expired
  kWrongType,  // a list where a plain value was wanted, or the other way round
};

enum class DictStore : uint8_t { kSet, kAdd, kReplace, kSafeSet, kSafeAdd };

/// One dictionary.
///
/// Shape:   1 to 16 shards by size, one for each MB; a key belongs to one. A key and its value take at most a
/// quarter
///          of a shard.
/// Units:   times to live are seconds, 0 for ever; expiry goes by Clock::steady().
/// Owner:   an area of the supervisor's segment, named "dict." and the name; the handle is inherited by the
/// fork. Runs in: every process. Takes the lock of one shard for the time it takes to copy a value. Fails:
/// kNoMemory when 30 evictions did not make room, or at once for the safe_ forms and lists.
class SharedDict {
 public:
  static constexpr size_t kSizeBytesMin = 16 * 1024;
  static constexpr size_t kKeyBytesMax = 65535;
  static constexpr int kEvictionsMax = 30;

  /// Lays a dictionary of `size_bytes` out in `segment`.
  static base::Result<SharedDict> make(Segment& segment, std::string name, size_t size_bytes);

  /// The value; kStale and the value when it has expired and `is_stale_wanted`. Texts are copied to `buffer`.
  DictStatus get(std::string_view key, bool is_stale_wanted, std::string& buffer, DictValue& out);
  /// Stores under the conditions of `how`; nil removes. `is_forcible` tells that live entries were evicted.
  DictStatus store(DictStore how, std::string_view key, const DictValue& value, double ttl_s,
                   bool& is_forcible);
  DictStatus remove(std::string_view key);

  struct Increment {
    double by = 1;
    bool has_init = false;  // otherwise a missing key is kNotFound
    double init = 0;
    double init_ttl_s = 0;
  };
  DictStatus increment(std::string_view key, const Increment& increment, double& out, bool& is_forcible);

  DictStatus set_ttl(std::string_view key, double ttl_s);
  DictStatus get_ttl(std::string_view key, double& out_s);

  /// Lists of numbers and strings. Never evict.
  DictStatus push(std::string_view key, bool is_left, const DictValue& value, uint32_t& length);
  DictStatus pop(std::string_view key, bool is_left, std::string& buffer, DictValue& out);
  DictStatus get_length(std::string_view key, uint32_t& length);

  /// Lets everything expire at once; `flush_expired` gives the memory back (up to `max` entries, 0 for all).
  void flush_all();
  uint32_t flush_expired(uint32_t max);
  /// The next live key at or after `cursor`, which starts at 0; false at the end. Keys that come and go
  /// meanwhile may be missed or seen.
  bool next_key(uint64_t& cursor, std::string& key);

  const std::string& name() const { return name_; }
  size_t capacity_bytes() const { return size_; }
  size_t free_bytes();
  /// How often a shard was repaired after a process died in it.
  uint64_t repair_count();

 private:
  struct Locked;
  SharedDict() = default;
  Locked locate(std::string_view key);
  bool fits(const DictShard& shard, size_t cells) const { return cells <= shard.cell_count() / 4; }
  bool make_room(DictShard& shard, size_t cells, bool& is_forcible);
  void drop_some_expired(DictShard& shard, int64_t now_ns);
  DictStatus insert(Locked& at, uint32_t old, const DictShard::Entry& entry, bool is_safe, bool& is_forcible);

  std::string name_;
  size_t size_ = 0;
  HashSeed seed_;
  std::vector<DictShard> shards_;
};

}  // namespace moongate::shm
