// SPDX-License-Identifier: Apache-2.0
// One shard of a shared dictionary: entries in chains of 128-byte cells, a hash table of cell numbers, one
// list from the newest to the oldest use, one list of free cells. All cells are alike, so memory never
// fragments and repair is a sweep. Locking, time and the rules of `ngx.shared` are in shared_dict.h; this
// file only moves cells.
//
//   ShardState | buckets: first cell of each hash chain | cells
//
//   head cell                                   body cells
//   +------+-----------------------+---------+  +------+---------+  +------+---------+
//   | next | sizes, links, expiry  | 64 bytes|->| next |120 bytes|->| none |120 bytes|   key, then value
//   +------+-----------------------+---------+  +------+---------+  +------+---------+
//   A list's head holds only its key; its elements are chains of their own, linked both ways:
//   head.list_first -> node <-> node <-> node <- head.list_last
//
// The owner of the lock may die between any two instructions. What counts is written so that one store
// decides:
//
//   a new entry     everything else first, `kind = kHead` last      (a replaced one is removed after that;
//                                                                     the higher `version` wins if both are
//                                                                     left)
//   a removed one   `kind = kFree` first
//   list elements   the forward link (`list_first` or a node's `node_next`)
//
// All other links are derived. `repair` trusts heads and forward links only, checks them, and builds the hash
// table, the order of use and the free list anew, so cells that were on their way somewhere are free again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shm/robust_mutex.h"

namespace moongate::shm {

struct DictCell;
struct HeadCell;

/// What an entry or a list element holds. The text is a view.
struct DictValue {
  enum class Type : uint8_t { kNil, kBool, kNumber, kString, kList };
  Type type = Type::kNil;
  double number = 0;  // of a number; 0 or 1 of a bool
  std::string_view text;
  uint32_t flags = 0;  // the user's
};

/// Cells of one shard. Every function but `make` and `lock` needs the lock.
///
/// Shape:   drawn above; cells are named by number, kNone is no cell.
/// Owner:   part of its SharedDict's area.
/// Fails:   functions that take cells need room first (`has_room`), which is asserted.
class DictShard {
 public:
  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr size_t kCellBytes = 128;
  static constexpr size_t kSizeBytesMin = 8192;

  /// What a new entry is made of.
  struct Entry {
    uint32_t hash = 0;
    std::string_view key;
    DictValue value;
    int64_t expires_ns = 0;  // wall clock; 0 for never
  };

  DictShard() = default;
  /// Lays a shard out in `memory`, 64-byte aligned.
  static DictShard make(void* memory, size_t size_bytes);

  /// Takes the lock and repairs first if its last owner died.
  void lock();
  void unlock();

  uint32_t find(uint32_t hash, std::string_view key) const;
  /// Adds an entry, which becomes the newest; the caller removes an older one of the same key afterwards.
  uint32_t insert(const Entry& entry);
  void remove(uint32_t cell);
  /// Makes the entry the newest.
  void touch(uint32_t cell);
  /// The entry used longest ago, or kNone; and the one used next after `cell`.
  uint32_t oldest() const;
  uint32_t newer_than(uint32_t cell) const;

  DictValue::Type type(uint32_t cell) const;
  /// The value; its text is copied to `buffer`.
  DictValue read(uint32_t cell, std::string& buffer) const;
  void read_key(uint32_t cell, std::string& buffer) const;
  double number(uint32_t cell) const;
  void set_number(uint32_t cell, double number);
  int64_t expires_ns(uint32_t cell) const;
  void set_expires_ns(uint32_t cell, int64_t expires_ns);
  void set_flags(uint32_t cell, uint32_t flags);

  void list_push(uint32_t cell, bool is_left, const DictValue& value);
  /// Removes an element of a list that has at least two; with one left the caller reads it and removes the
  /// entry.
  DictValue list_pop(uint32_t cell, bool is_left, std::string& buffer);
  DictValue list_peek(uint32_t cell, bool is_left, std::string& buffer) const;
  uint32_t list_length(uint32_t cell) const;

  /// Cells that an entry takes with this much key and value; that a list element takes; that an entry gives
  /// back.
  static size_t entry_cells(size_t bytes);
  static size_t node_cells(size_t bytes);
  size_t cells_of(uint32_t cell) const;
  bool has_room(size_t cells) const { return cells <= free_cells(); }
  size_t free_cells() const;
  size_t cell_count() const;
  size_t entry_count() const;
  uint64_t repair_count() const;
  /// Whether `cell` is the head of an entry now; any number may be asked.
  bool is_entry(uint32_t cell) const;

 private:
  struct State;

  uint32_t allocate(size_t cells);
  void give_back(uint32_t first);
  void link_hash(uint32_t cell);
  void unlink_hash(uint32_t cell);
  void link_newest(uint32_t cell);
  void unlink_use(uint32_t cell);
  uint32_t make_node(const DictValue& value);
  DictValue read_node(uint32_t node, std::string& buffer) const;
  void copy_in(uint32_t first, std::string_view key, std::string_view value);
  bool has_key(uint32_t cell, std::string_view key) const;

  void repair();
  void rebuild();
  void rebuild_free_list();
  void rebuild_order_of_use();
  bool is_whole(uint32_t first, size_t cells) const;
  void mark(uint32_t first, uint8_t is_marked);
  void repair_list(HeadCell& head);
  bool keep(uint32_t cell);
  void drop_copy(uint32_t cell);

  State* state_ = nullptr;
  uint32_t* buckets_ = nullptr;
  DictCell* cells_ = nullptr;
};

}  // namespace moongate::shm
