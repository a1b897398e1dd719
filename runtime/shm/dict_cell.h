// SPDX-License-Identifier: Apache-2.0
// The 128 bytes a shared dictionary is made of, and the head of a shard. Only dict_shard.cpp and
// dict_repair.cpp look inside; dict_shard.h explains how cells hang together.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shm/dict_shard.h"
#include "shm/robust_mutex.h"

namespace moongate::shm {

enum class CellKind : uint8_t { kFree, kHead, kNode, kBody };

/// The first 8 bytes of a cell, whatever it is.
struct CellStart {
  uint32_t next;  // next cell of the chain, or of the free list
  CellKind kind;
  uint8_t is_marked;  // repair's note: this cell is in use
  DictValue::Type type;
  uint8_t pad;
};

struct HeadCell {
  CellStart start;
  uint32_t hash_next;
  uint32_t newer;
  uint32_t older;
  uint32_t hash;
  uint32_t value_size;  // of a list: the count of its elements
  uint32_t key_size;
  uint32_t flags;
  uint32_t pad;
  int64_t expires_ns;
  uint64_t version;  // grows with every use, so that repair can tell old from new
  union {
    double number;
    struct {
      uint32_t list_first;
      uint32_t list_last;
    };
  };
  char bytes[64];
};

struct NodeCell {
  CellStart start;
  uint32_t node_next;
  uint32_t node_before;
  uint32_t size;
  uint32_t pad;
  double number;
  char bytes[96];
};

struct BodyCell {
  CellStart start;
  char bytes[120];
};

struct alignas(128) DictCell {
  union {
    CellStart start;
    HeadCell head;
    NodeCell node;
    BodyCell body;
  };
};
static_assert(sizeof(DictCell) == DictShard::kCellBytes);
static_assert(sizeof(HeadCell) == 128 && sizeof(NodeCell) == 128 && sizeof(BodyCell) == 128);

struct alignas(128) DictShard::State {
  RobustMutex mutex;
  uint32_t cell_count;
  uint32_t bucket_count;  // a power of two
  uint32_t free_first;
  uint32_t free_count;
  uint32_t newest;
  uint32_t oldest;
  uint32_t entry_count;
  uint64_t version;
  uint64_t repair_count;
};

/// Keeps the compiler from moving stores across. The processor needs no telling: a process that is killed has
/// carried out its instructions in order up to one of them, and the next owner of the lock sees all of those.
inline void keep_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace moongate::shm
