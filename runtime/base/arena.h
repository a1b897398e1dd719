// SPDX-License-Identifier: Apache-2.0
// Memory that lives as long as one exchange: bump allocation from 4 KB blocks that go back to a pool of this
// thread when the exchange ends. Nothing allocated here is destroyed, so only trivial types belong in it.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>

#include "base/copy.h"

namespace moongate::base {

class Arena {
 public:
  Arena() = default;
  ~Arena() { reset(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Returns `size` bytes aligned for any type up to 16. Never null.
  void* allocate(size_t size) {
    size = (size + 15) & ~size_t{15};
    if (size > left_) return allocate_slow(size);
    void* at = next_;
    next_ += size;
    left_ -= size;
    return at;
  }
  char* allocate_chars(size_t size) { return static_cast<char*>(allocate(size)); }

  template <class T>
  T* allocate_array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return static_cast<T*>(allocate(count * sizeof(T)));
  }

  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* at = allocate_chars(text.size());
    copy_short(at, text.data(), text.size());
    return {at, text.size()};
  }

  /// Gives every block back. Everything allocated so far is gone.
  void reset();
  size_t size_bytes() const { return total_; }

 private:
  struct Block;
  void* allocate_slow(size_t size);

  Block* blocks_ = nullptr;
  char* next_ = nullptr;
  size_t left_ = 0;
  size_t total_ = 0;
};

}  // namespace moongate::base
