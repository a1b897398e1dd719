// SPDX-License-Identifier: Apache-2.0
// Hashes of content: they tell whether a record or a snapshot changed and whether a file was damaged. Not for
// secrets: whoever may write configuration may as well make two that collide.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::snapshot {

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const Hash128&) const = default;
  /// 32 hexadecimal digits.
  std::string text() const;
};

/// The same bytes and seed give the same number on every machine.
uint64_t hash64(std::string_view bytes, uint64_t seed = 0);

/// Folds pieces into 128 bits; where one piece ends and the next begins counts.
class Hasher {
 public:
  void add(std::string_view bytes);
  void add(uint64_t number);
  Hash128 finish() const;

 private:
  uint64_t high_ = 0x6a09e667f3bcc908u;
  uint64_t low_ = 0xbb67ae8584caa73bu;
  uint64_t count_ = 0;
};

}  // namespace moongate::snapshot
