// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <cstdlib>

#include "base/assert.h"

namespace moongate::base {

struct Arena::Block {
  Block* next;
  size_t size;  // whole block, header included
  // Keeps the bytes that follow aligned to 16.
};

namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kPooledBlocksMax = 256;

struct FreeBlock {
  FreeBlock* next;
};

// A thread's spare blocks. At its limit further blocks go back to malloc, so a burst does not stay forever.
struct BlockPool {
  FreeBlock* first = nullptr;
  size_t count = 0;
  ~BlockPool() {
    while (first) {
      FreeBlock* next = first->next;
      std::free(first);
      first = next;
    }
  }
};

thread_local BlockPool pool;

void* take_block() {
  if (!pool.first) return std::malloc(kBlockBytes);
  FreeBlock* block = pool.first;
  pool.first = block->next;
  pool.count--;
  return block;
}

void give_block(void* memory) {
  if (pool.count >= kPooledBlocksMax) {
    std::free(memory);
    return;
  }
  auto* block = static_cast<FreeBlock*>(memory);
  block->next = pool.first;
  pool.first = block;
  pool.count++;
}

}  // namespace

void* Arena::allocate_slow(size_t size) {
  constexpr size_t kHeader = (sizeof(Block) + 15) & ~size_t{15};
  bool is_large = size > (kBlockBytes - kHeader) / 2;
  size_t bytes = is_large ? size + kHeader : kBlockBytes;
  void* memory = is_large ? std::malloc(bytes) : take_block();
  MG_ASSERT(memory != nullptr);
  auto* block = static_cast<Block*>(memory);
  block->size = bytes;
  total_ += bytes;
  char* start = static_cast<char*>(memory) + kHeader;
  if (is_large && blocks_) {  // keep bumping in the current block
    block->next = blocks_->next;
    blocks_->next = block;
    return start;
  }
  block->next = blocks_;
  blocks_ = block;
  if (is_large) {
    next_ = nullptr;
    left_ = 0;
    return start;
  }
  next_ = start + size;
  left_ = bytes - kHeader - size;
  return start;
}

void Arena::reset() {
  while (blocks_) {
    Block* next = blocks_->next;
    if (blocks_->size == kBlockBytes) {
      give_block(blocks_);
    } else {
      std::free(blocks_);
    }
    blocks_ = next;
  }
  next_ = nullptr;
  left_ = 0;
  total_ = 0;
}

}  // namespace moongate::base
