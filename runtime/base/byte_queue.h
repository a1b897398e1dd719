// SPDX-License-Identifier: Apache-2.0
// Bytes that wait: what could not be sent yet, or was received before anyone wanted it. Empty queues hold no
// memory, so that idle connections stay small.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/assert.h"

namespace moongate::base {

class ByteQueue {
 public:
  ByteQueue() = default;
  ~ByteQueue() { std::free(data_); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  bool is_empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  std::string_view view() const { return {data_ + begin_, size()}; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    reserve(bytes.size());
    std::memcpy(data_ + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
  }
  /// Drops the first `count` bytes; memory goes back when nothing is left.
  void consume(size_t count) {
    MG_ASSERT(count <= size());
    begin_ += count;
    if (begin_ == end_) clear();
  }
  void clear() {
    std::free(data_);
    data_ = nullptr;
    begin_ = end_ = capacity_ = 0;
  }
  void swap(ByteQueue& other) {
    std::swap(data_, other.data_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void reserve(size_t more) {
    if (end_ + more <= capacity_) return;
    if (begin_ > 0) {
      std::memmove(data_, data_ + begin_, size());
      end_ -= begin_;
      begin_ = 0;
      if (end_ + more <= capacity_) return;
    }
    size_t wanted = capacity_ ? capacity_ * 2 : 1024;
    while (wanted < end_ + more) wanted *= 2;
    data_ = static_cast<char*>(std::realloc(data_, wanted));
    MG_ASSERT(data_ != nullptr);
    capacity_ = wanted;
  }

  char* data_ = nullptr;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

}  // namespace moongate::base
