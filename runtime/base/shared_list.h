// SPDX-License-Identifier: Apache-2.0
// A list whose copies share what they have in common: the successor of a list of 10,000 in which one item is
// another costs a hundredth of a full copy.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/assert.h"

namespace moongate::base {

/// Shape:   pieces of 64 items; a copy points to the same pieces, and gets one of its own where it is
/// changed. Owner:   one thread: whether a piece is shared is told by its reference count.
template <class Item>
class SharedList {
 public:
  size_t size() const { return size_; }
  bool is_empty() const { return size_ == 0; }

  const Item& operator[](size_t index) const { return (*pieces_[index / kPieceSize])[index % kPieceSize]; }

  void reserve(size_t count) { pieces_.reserve((count + kPieceSize - 1) / kPieceSize); }

  void push_back(Item item) {
    if (size_ % kPieceSize == 0) pieces_.push_back(std::make_shared<Piece>());
    own(size_ / kPieceSize)[size_ % kPieceSize] = std::move(item);
    size_++;
  }

  void set(size_t index, Item item) {
    MG_ASSERT(index < size_);
    own(index / kPieceSize)[index % kPieceSize] = std::move(item);
  }

  /// Forgets up to 64 items at the end.
  void drop_piece() {
    if (pieces_.empty()) return;
    pieces_.pop_back();
    size_ = pieces_.size() * kPieceSize;
  }

 private:
  static constexpr size_t kPieceSize = 64;
  using Piece = std::array<Item, kPieceSize>;

  Piece& own(size_t number) {
    std::shared_ptr<Piece>& piece = pieces_[number];
    if (piece.use_count() > 1) piece = std::make_shared<Piece>(*piece);
    return *piece;
  }

  std::vector<std::shared_ptr<Piece>> pieces_;
  size_t size_ = 0;
};

}  // namespace moongate::base
