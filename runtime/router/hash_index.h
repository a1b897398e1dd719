// SPDX-License-Identifier: Apache-2.0
// The hash table under the router: text to a small number, built once, read by every request. The texts stay
// where they are; who asks compares them. No growth, so that building never stalls on a rehash.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/assert.h"

namespace moongate::router {

constexpr uint32_t kNone = UINT32_MAX;

inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t load_u64(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline uint64_t load_u32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// A fast hash of short texts. Only configured texts are stored, so requests cannot make chains longer.
inline uint64_t hash_text(std::string_view text) {
  constexpr uint64_t kA = 0x9E3779B97F4A7C15;
  constexpr uint64_t kB = 0xD1B54A32D192ED03;
  const char* at = text.data();
  size_t left = text.size();
  uint64_t hash = kA ^ fold_multiply(left + 1, kB);
  while (left > 16) {
    hash = fold_multiply(load_u64(at) ^ kB, load_u64(at + 8) ^ hash);
    at += 16;
    left -= 16;
  }
  uint64_t first = 0;
  uint64_t second = 0;
  if (left >= 8) {
    first = load_u64(at);
    second = load_u64(at + left - 8);
  } else if (left >= 4) {
    first = load_u32(at);
    second = load_u32(at + left - 4);
  } else if (left > 0) {
    first = static_cast<uint64_t>(static_cast<unsigned char>(at[0])) << 16 |
            static_cast<uint64_t>(static_cast<unsigned char>(at[left / 2])) << 8 |
            static_cast<unsigned char>(at[left - 1]);
  }
  return fold_multiply(first ^ kB ^ hash, second ^ kA);
}

/// The same, for a text within one of many name spaces.
inline uint64_t hash_in(uint64_t text_hash, uint32_t space) {
  return fold_multiply(text_hash ^ space, 0xA0761D6478BD642F);
}

/// Shape:   open addressing, 8 bytes a slot, at most half full; a slot is 32 bits of the hash and the value.
/// Fails:   never; more texts than `allocate` announced break an assertion.
class HashIndex {
 public:
  void allocate(size_t count_max) {
    size_t slots = 4;
    while (slots < count_max * 2) slots *= 2;
    // calloc gives untouched zero pages, so even a large table costs nothing until it is filled.
    slots_.reset(static_cast<Slot*>(std::calloc(slots, sizeof(Slot))));
    MG_ASSERT(slots_ != nullptr);
    mask_ = slots - 1;
    count_max_ = count_max;
  }

  bool is_empty() const { return count_ == 0; }
  bool has_room() const { return count_ < count_max_; }

  /// Becomes a copy of the other, a piece at a time: at most `*budget` pages, which it counts down; true when
  /// it is complete. `*at` is 0 at first and kept from call to call. It may then grow to half of its slots.
  bool copy(const HashIndex& other, size_t* at, size_t* budget) {
    if (*at == 0) {
      const size_t slots = other.slots_ ? other.mask_ + 1 : 4;
      allocate(slots / 2);
      count_ = other.count_;
      if (count_ == 0) return true;
    }
    constexpr size_t kSlotsPerUnit = 512;
    for (; *at <= mask_; *at += kSlotsPerUnit) {
      if (*budget == 0) return false;
      --*budget;
      const size_t count = kSlotsPerUnit < mask_ + 1 - *at ? kSlotsPerUnit : mask_ + 1 - *at;
      std::memcpy(&slots_[*at], &other.slots_[*at], count * sizeof(Slot));
    }
    return true;
  }

  /// The value whose text `is_same(value)` confirms, or kNone.
  template <class IsSame>
  uint32_t find(uint64_t hash, IsSame is_same) const {
    const uint32_t slot = find_slot(hash, is_same);
    return slot == kNone ? kNone : value_at(slot);
  }

  /// The slot of a text, found or taken for it with `new_value`.
  template <class IsSame>
  uint32_t find_or_add(uint64_t hash, uint32_t new_value, IsSame is_same) {
    size_t at = hash & mask_;
    for (; slots_[at].value != 0; at = (at + 1) & mask_) {
      if (slots_[at].tag == tag_of(hash) && is_same(slots_[at].value - 1)) return static_cast<uint32_t>(at);
    }
    MG_ASSERT(count_ < count_max_);
    count_++;
    slots_[at] = {tag_of(hash), new_value + 1};
    return static_cast<uint32_t>(at);
  }

  /// The slot of a text, or kNone.
  template <class IsSame>
  uint32_t find_slot(uint64_t hash, IsSame is_same) const {
    if (count_ == 0) return kNone;
    for (size_t at = hash & mask_; slots_[at].value != 0; at = (at + 1) & mask_) {
      if (slots_[at].tag == tag_of(hash) && is_same(slots_[at].value - 1)) return static_cast<uint32_t>(at);
    }
    return kNone;
  }

  /// Takes a text out. Those behind it move up, so that no search stops before them; `hash_of(value)` tells
  /// where they would like to be.
  template <class HashOf>
  void remove(uint32_t slot, HashOf hash_of) {
    size_t hole = slot;
    for (size_t at = (hole + 1) & mask_; slots_[at].value != 0; at = (at + 1) & mask_) {
      const size_t home = hash_of(slots_[at].value - 1) & mask_;
      if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = {0, 0};
    count_--;
  }

  uint32_t value_at(uint32_t slot) const { return slots_[slot].value - 1; }
  void set_value_at(uint32_t slot, uint32_t value) { slots_[slot].value = value + 1; }

 private:
  struct Slot {
    uint32_t tag;
    uint32_t value;  // + 1, so that 0 is free
  };
  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  std::unique_ptr<Slot[], Free> slots_;
  size_t mask_ = 0;
  size_t count_ = 0;
  size_t count_max_ = 0;
};

}  // namespace moongate::router
