// SPDX-License-Identifier: Apache-2.0
// A merge sort that can be done a slice at a time, so that sorting the routes of a large configuration does
// not hold up the event loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace moongate::router {

/// Sorts a vector by operator<, which must order all items (no two equal).
template <class Item>
class SliceSorter {
 public:
  /// The vector must neither move nor change until step() says that it is sorted.
  void start(std::vector<Item>* items) {
    items_ = items;
    width_ = 0;
    begin_run(0);
    merged_.clear();
    merged_.reserve(items->size());
  }

  /// Moves about `*budget` items and counts it down; true when all is sorted.
  bool step(size_t* budget) {
    if (width_ == 0 && !sort_runs(budget)) return false;
    while (width_ < items_->size()) {
      if (*budget == 0) return false;
      --*budget;
      if (left_ == left_end_ && right_ == right_end_) {
        end_run();
        continue;
      }
      bool is_left = right_ == right_end_ || (left_ != left_end_ && !((*items_)[right_] < (*items_)[left_]));
      merged_.push_back((*items_)[is_left ? left_++ : right_++]);
    }
    return true;
  }

 private:
  static constexpr size_t kRunSize = 64;

  /// Sorts runs of a fixed size in place, and sets the merging up after the last.
  bool sort_runs(size_t* budget) {
    while (left_ < items_->size()) {
      if (*budget == 0) return false;
      *budget -= std::min(*budget, kRunSize);
      size_t end = std::min(left_ + kRunSize, items_->size());
      std::sort(items_->data() + left_, items_->data() + end);
      left_ = end;
    }
    width_ = kRunSize;
    begin_run(0);
    return true;
  }

  void begin_run(size_t at) {
    left_ = at;
    left_end_ = right_ = std::min(at + width_, items_->size());
    right_end_ = std::min(at + 2 * width_, items_->size());
  }

  void end_run() {
    if (right_end_ < items_->size()) return begin_run(right_end_);
    items_->swap(merged_);
    merged_.clear();
    width_ *= 2;
    begin_run(0);
  }

  std::vector<Item>* items_ = nullptr;
  std::vector<Item> merged_;
  size_t width_ = 0;  // of a sorted run; 0 while the first runs are made
  size_t left_ = 0, left_end_ = 0, right_ = 0, right_end_ = 0;
};

}  // namespace moongate::router
