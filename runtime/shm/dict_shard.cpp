// SPDX-License-Identifier: Apache-2.0
#include "shm/dict_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/assert.h"
#include "shm/dict_cell.h"

namespace moongate::shm {

namespace {

size_t cells_for(size_t bytes, size_t first_bytes) {
  return bytes <= first_bytes
             ? 1
             : 1 + (bytes - first_bytes + sizeof(BodyCell::bytes) - 1) / sizeof(BodyCell::bytes);
}

/// Where the bytes of a chain are, cell after cell.
class ChainCursor {
 public:
  ChainCursor(DictCell* cells, uint32_t first) : cells_(cells), cell_(first) {
    DictCell& cell = cells[first];
    bool is_node = cell.start.kind == CellKind::kNode;
    at_ = is_node ? cell.node.bytes : cell.head.bytes;
    left_ = is_node ? sizeof cell.node.bytes : sizeof cell.head.bytes;
  }
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t part = advance(bytes.size());
      std::memcpy(at_ - part, bytes.data(), part);
      bytes.remove_prefix(part);
    }
  }
  void read(size_t size, std::string& out) {
    while (size > 0) {
      size_t part = advance(size);
      out.append(at_ - part, part);
      size -= part;
    }
  }
  void skip(size_t size) {
    while (size > 0) size -= advance(size);
  }
  bool matches(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t part = advance(bytes.size());
      if (std::memcmp(at_ - part, bytes.data(), part) != 0) return false;
      bytes.remove_prefix(part);
    }
    return true;
  }

 private:
  /// Steps over up to `wanted` bytes that lie together and gives their count.
  size_t advance(size_t wanted) {
    if (left_ == 0) {
      cell_ = cells_[cell_].start.next;
      MG_ASSERT(cell_ != DictShard::kNone);
      at_ = cells_[cell_].body.bytes;
      left_ = sizeof cells_[cell_].body.bytes;
    }
    size_t part = std::min(left_, wanted);
    at_ += part;
    left_ -= part;
    return part;
  }

  DictCell* cells_;
  uint32_t cell_;
  char* at_;
  size_t left_;
};

}  // namespace

DictShard DictShard::make(void* memory, size_t size_bytes) {
  MG_ASSERT(size_bytes >= kSizeBytesMin);
  DictShard shard;
  shard.state_ = new (memory) State();
  const size_t room = size_bytes - sizeof(State) - kCellBytes;
  const size_t cells_about = room / kCellBytes;
  MG_ASSERT(cells_about < kNone);
  const size_t bucket_count = std::bit_floor(std::max<size_t>(cells_about / 2, 16));
  shard.buckets_ = reinterpret_cast<uint32_t*>(static_cast<char*>(memory) + sizeof(State));
  auto cells_at = reinterpret_cast<uintptr_t>(shard.buckets_ + bucket_count);
  cells_at = (cells_at + kCellBytes - 1) / kCellBytes * kCellBytes;
  shard.cells_ = reinterpret_cast<DictCell*>(cells_at);
  const auto end = reinterpret_cast<uintptr_t>(memory) + size_bytes;
  shard.state_->cell_count = static_cast<uint32_t>((end - cells_at) / kCellBytes);
  shard.state_->bucket_count = static_cast<uint32_t>(bucket_count);
  shard.state_->mutex.initialize();
  shard.rebuild();
  return shard;
}

void DictShard::lock() {
  if (state_->mutex.lock() == RobustMutex::State::kClean) return;
  repair();
  state_->mutex.mark_repaired();
}

void DictShard::unlock() { state_->mutex.unlock(); }

size_t DictShard::entry_cells(size_t bytes) { return cells_for(bytes, sizeof(HeadCell::bytes)); }
size_t DictShard::node_cells(size_t bytes) { return cells_for(bytes, sizeof(NodeCell::bytes)); }
size_t DictShard::free_cells() const { return state_->free_count; }
size_t DictShard::cell_count() const { return state_->cell_count; }
size_t DictShard::entry_count() const { return state_->entry_count; }
uint64_t DictShard::repair_count() const { return state_->repair_count; }
uint32_t DictShard::oldest() const { return state_->oldest; }
uint32_t DictShard::newer_than(uint32_t cell) const { return cells_[cell].head.newer; }
DictValue::Type DictShard::type(uint32_t cell) const { return cells_[cell].start.type; }
double DictShard::number(uint32_t cell) const { return cells_[cell].head.number; }
void DictShard::set_number(uint32_t cell, double number) { cells_[cell].head.number = number; }
int64_t DictShard::expires_ns(uint32_t cell) const { return cells_[cell].head.expires_ns; }
void DictShard::set_expires_ns(uint32_t cell, int64_t expires_ns) {
  cells_[cell].head.expires_ns = expires_ns;
}
void DictShard::set_flags(uint32_t cell, uint32_t flags) { cells_[cell].head.flags = flags; }
uint32_t DictShard::list_length(uint32_t cell) const { return cells_[cell].head.value_size; }

bool DictShard::is_entry(uint32_t cell) const {
  return cell < state_->cell_count && cells_[cell].start.kind == CellKind::kHead;
}

uint32_t DictShard::allocate(size_t cells) {
  MG_ASSERT(cells > 0 && has_room(cells));
  const uint32_t first = state_->free_first;
  uint32_t last = first;
  for (size_t i = 1; i < cells; ++i) {
    last = cells_[last].start.next;
    cells_[last].start.kind = CellKind::kBody;
  }
  state_->free_first = cells_[last].start.next;
  state_->free_count -= static_cast<uint32_t>(cells);
  cells_[last].start.next = kNone;
  return first;
}

void DictShard::give_back(uint32_t first) {
  uint32_t count = 1;
  uint32_t last = first;
  cells_[first].start.kind = CellKind::kFree;
  for (; cells_[last].start.next != kNone; ++count) {
    last = cells_[last].start.next;
    cells_[last].start.kind = CellKind::kFree;
  }
  cells_[last].start.next = state_->free_first;
  state_->free_first = first;
  state_->free_count += count;
}

void DictShard::copy_in(uint32_t first, std::string_view key, std::string_view value) {
  ChainCursor cursor(cells_, first);
  cursor.write(key);
  cursor.write(value);
}

bool DictShard::has_key(uint32_t cell, std::string_view key) const {
  return cells_[cell].head.key_size == key.size() && ChainCursor(cells_, cell).matches(key);
}

uint32_t DictShard::find(uint32_t hash, std::string_view key) const {
  uint32_t cell = buckets_[hash & (state_->bucket_count - 1)];
  for (; cell != kNone; cell = cells_[cell].head.hash_next) {
    if (cells_[cell].head.hash == hash && has_key(cell, key)) return cell;
  }
  return kNone;
}

uint32_t DictShard::insert(const Entry& entry) {
  const DictValue& value = entry.value;
  const bool is_list = value.type == DictValue::Type::kList;
  const std::string_view text = value.type == DictValue::Type::kString ? value.text : std::string_view();
  const uint32_t cell = allocate(entry_cells(entry.key.size() + text.size()));
  HeadCell& head = cells_[cell].head;
  head.start.type = value.type;
  head.hash = entry.hash;
  head.value_size = static_cast<uint32_t>(text.size());
  head.key_size = static_cast<uint32_t>(entry.key.size());
  head.flags = value.flags;
  head.expires_ns = entry.expires_ns;
  head.version = ++state_->version;
  head.number = value.number;
  if (is_list) head.list_first = head.list_last = kNone;
  copy_in(cell, entry.key, text);
  keep_order();
  head.start.kind = CellKind::kHead;
  keep_order();
  link_hash(cell);
  link_newest(cell);
  ++state_->entry_count;
  return cell;
}

void DictShard::remove(uint32_t cell) {
  HeadCell& head = cells_[cell].head;
  head.start.kind = CellKind::kFree;
  keep_order();
  unlink_hash(cell);
  unlink_use(cell);
  --state_->entry_count;
  if (head.start.type == DictValue::Type::kList) {
    for (uint32_t node = head.list_first; node != kNone;) {
      uint32_t next = cells_[node].node.node_next;
      give_back(node);
      node = next;
    }
  }
  give_back(cell);
}

void DictShard::touch(uint32_t cell) {
  cells_[cell].head.version = ++state_->version;
  if (state_->newest == cell) return;
  unlink_use(cell);
  link_newest(cell);
}

void DictShard::link_hash(uint32_t cell) {
  uint32_t& bucket = buckets_[cells_[cell].head.hash & (state_->bucket_count - 1)];
  cells_[cell].head.hash_next = bucket;
  bucket = cell;
}

void DictShard::unlink_hash(uint32_t cell) {
  uint32_t* link = &buckets_[cells_[cell].head.hash & (state_->bucket_count - 1)];
  while (*link != cell) {
    MG_ASSERT(*link != kNone);
    link = &cells_[*link].head.hash_next;
  }
  *link = cells_[cell].head.hash_next;
}

void DictShard::link_newest(uint32_t cell) {
  HeadCell& head = cells_[cell].head;
  head.newer = kNone;
  head.older = state_->newest;
  if (state_->newest != kNone) cells_[state_->newest].head.newer = cell;
  state_->newest = cell;
  if (state_->oldest == kNone) state_->oldest = cell;
}

void DictShard::unlink_use(uint32_t cell) {
  const HeadCell& head = cells_[cell].head;
  (head.newer == kNone ? state_->newest : cells_[head.newer].head.older) = head.older;
  (head.older == kNone ? state_->oldest : cells_[head.older].head.newer) = head.newer;
}

DictValue DictShard::read(uint32_t cell, std::string& buffer) const {
  const HeadCell& head = cells_[cell].head;
  DictValue value{head.start.type, head.number, {}, head.flags};
  if (value.type != DictValue::Type::kString) return value;
  buffer.clear();
  ChainCursor cursor(cells_, cell);
  cursor.skip(head.key_size);
  cursor.read(head.value_size, buffer);
  value.text = buffer;
  return value;
}

void DictShard::read_key(uint32_t cell, std::string& buffer) const {
  buffer.clear();
  ChainCursor(cells_, cell).read(cells_[cell].head.key_size, buffer);
}

size_t DictShard::cells_of(uint32_t cell) const {
  const HeadCell& head = cells_[cell].head;
  if (head.start.type != DictValue::Type::kList) return entry_cells(head.key_size + head.value_size);
  size_t count = entry_cells(head.key_size);
  for (uint32_t node = head.list_first; node != kNone; node = cells_[node].node.node_next) {
    count += node_cells(cells_[node].node.size);
  }
  return count;
}

uint32_t DictShard::make_node(const DictValue& value) {
  const std::string_view text = value.type == DictValue::Type::kString ? value.text : std::string_view();
  const uint32_t cell = allocate(node_cells(text.size()));
  NodeCell& node = cells_[cell].node;
  node.start.kind = CellKind::kNode;
  node.start.type = value.type;
  node.size = static_cast<uint32_t>(text.size());
  node.number = value.number;
  copy_in(cell, {}, text);
  return cell;
}

DictValue DictShard::read_node(uint32_t cell, std::string& buffer) const {
  const NodeCell& node = cells_[cell].node;
  buffer.clear();
  ChainCursor(cells_, cell).read(node.size, buffer);
  return DictValue{node.start.type, node.number, buffer, 0};
}

void DictShard::list_push(uint32_t cell, bool is_left, const DictValue& value) {
  const uint32_t added = make_node(value);
  HeadCell& head = cells_[cell].head;
  NodeCell& node = cells_[added].node;
  const uint32_t neighbour = is_left ? head.list_first : head.list_last;
  node.node_next = is_left ? neighbour : kNone;
  node.node_before = is_left ? kNone : neighbour;
  keep_order();
  (is_left || neighbour == kNone ? head.list_first : cells_[neighbour].node.node_next) = added;
  keep_order();
  if (is_left && neighbour != kNone) cells_[neighbour].node.node_before = added;
  if (!is_left || neighbour == kNone) head.list_last = added;
  ++head.value_size;
}

DictValue DictShard::list_peek(uint32_t cell, bool is_left, std::string& buffer) const {
  return read_node(is_left ? cells_[cell].head.list_first : cells_[cell].head.list_last, buffer);
}

DictValue DictShard::list_pop(uint32_t cell, bool is_left, std::string& buffer) {
  HeadCell& head = cells_[cell].head;
  MG_ASSERT(head.value_size >= 2);
  const uint32_t taken = is_left ? head.list_first : head.list_last;
  DictValue value = read_node(taken, buffer);
  const uint32_t neighbour = is_left ? cells_[taken].node.node_next : cells_[taken].node.node_before;
  keep_order();
  (is_left ? head.list_first : cells_[neighbour].node.node_next) = is_left ? neighbour : kNone;
  keep_order();
  (is_left ? cells_[neighbour].node.node_before : head.list_last) = is_left ? kNone : neighbour;
  --head.value_size;
  give_back(taken);
  return value;
}

}  // namespace moongate::shm
