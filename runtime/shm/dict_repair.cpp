// SPDX-License-Identifier: Apache-2.0
// What the next owner of a shard's lock does when the last one died holding it: dict_shard.h says what can be
// trusted. It may die in here as well; then the one after it begins again, because only derived links and
// cells already found worthless are written.
#include <algorithm>
#include <vector>

#include "shm/dict_cell.h"
#include "shm/dict_shard.h"

namespace moongate::shm {

void DictShard::repair() {
  ++state_->repair_count;
  rebuild();
}

void DictShard::rebuild() {
  for (uint32_t i = 0; i < state_->cell_count; ++i) cells_[i].start.is_marked = 0;
  for (uint32_t i = 0; i < state_->bucket_count; ++i) buckets_[i] = kNone;
  state_->entry_count = 0;
  for (uint32_t i = 0; i < state_->cell_count; ++i) {
    if (cells_[i].start.kind == CellKind::kHead && !keep(i)) cells_[i].start.kind = CellKind::kFree;
  }
  rebuild_free_list();
  rebuild_order_of_use();
}

/// Whether a chain of exactly `cells` cells begins at `first`, none of which belongs to another.
bool DictShard::is_whole(uint32_t first, size_t cells) const {
  uint32_t cell = first;
  for (size_t i = 0; i < cells; ++i, cell = cells_[cell].start.next) {
    if (cell >= state_->cell_count || cells_[cell].start.is_marked != 0) return false;
  }
  return cell == kNone;
}

void DictShard::mark(uint32_t first, uint8_t is_marked) {
  for (uint32_t cell = first; cell != kNone; cell = cells_[cell].start.next)
    cells_[cell].start.is_marked = is_marked;
}

/// Follows the elements from the left, cuts the list before the first that is damaged, and sets all that
/// follows from the forward links.
void DictShard::repair_list(HeadCell& head) {
  uint32_t* link = &head.list_first;
  head.list_last = kNone;
  head.value_size = 0;
  while (*link != kNone) {
    const uint32_t cell = *link;
    const bool is_sound = cell < state_->cell_count && cells_[cell].start.kind == CellKind::kNode &&
                          is_whole(cell, node_cells(cells_[cell].node.size));
    if (!is_sound) break;
    mark(cell, 1);
    cells_[cell].node.node_before = head.list_last;
    head.list_last = cell;
    ++head.value_size;
    link = &cells_[cell].node.node_next;
  }
  *link = kNone;
}

/// Marks the cells of an entry and puts it into the hash table; false when it is damaged, empty or an older
/// copy.
bool DictShard::keep(uint32_t cell) {
  HeadCell& head = cells_[cell].head;
  const bool is_list = head.start.type == DictValue::Type::kList;
  const size_t bytes = size_t{head.key_size} + (is_list ? 0 : head.value_size);
  if (!is_whole(cell, entry_cells(bytes))) return false;
  std::string key;
  read_key(cell, key);
  const uint32_t other = find(head.hash, key);
  if (other != kNone) {
    if (cells_[other].head.version > head.version) return false;
    drop_copy(other);
  }
  mark(cell, 1);
  if (is_list) repair_list(head);
  if (is_list && head.list_first == kNone) {
    mark(cell, 0);
    return false;
  }
  link_hash(cell);
  ++state_->entry_count;
  return true;
}

/// Takes back what `keep` did for an entry whose replacement has turned up.
void DictShard::drop_copy(uint32_t cell) {
  HeadCell& head = cells_[cell].head;
  head.start.kind = CellKind::kFree;
  unlink_hash(cell);
  --state_->entry_count;
  if (head.start.type == DictValue::Type::kList) {
    for (uint32_t node = head.list_first; node != kNone; node = cells_[node].node.node_next) mark(node, 0);
  }
  mark(cell, 0);
}

void DictShard::rebuild_free_list() {
  state_->free_first = kNone;
  state_->free_count = 0;
  for (uint32_t i = state_->cell_count; i-- > 0;) {
    CellStart& start = cells_[i].start;
    if (start.is_marked != 0) continue;
    start.kind = CellKind::kFree;
    start.next = state_->free_first;
    state_->free_first = i;
    ++state_->free_count;
  }
}

void DictShard::rebuild_order_of_use() {
  std::vector<uint32_t> heads;
  heads.reserve(state_->entry_count);
  for (uint32_t i = 0; i < state_->cell_count; ++i) {
    if (cells_[i].start.kind == CellKind::kHead) heads.push_back(i);
  }
  std::sort(heads.begin(), heads.end(), [this](uint32_t left, uint32_t right) {
    return cells_[left].head.version < cells_[right].head.version;
  });
  state_->newest = state_->oldest = kNone;
  for (uint32_t cell : heads) link_newest(cell);
}

}  // namespace moongate::shm
