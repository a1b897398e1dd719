// SPDX-License-Identifier: Apache-2.0
// Hashes of keys that clients choose (addresses, header values, paths). SipHash-1-3 with a random seed per
// table, so that nobody outside can aim two keys at one slot or a thousand at one bucket.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace moongate::shm {

struct HashSeed {
  uint64_t low = 0;
  uint64_t high = 0;
};

/// A seed from the system's random source.
HashSeed make_hash_seed();

namespace sip {

struct State {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  }
};

inline uint64_t load_word(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace sip

/// The keyed hash of `key`. Words are read in the machine's byte order: hashes never leave it.
inline uint64_t keyed_hash(const HashSeed& seed, std::string_view key) {
  sip::State state{seed.low ^ 0x736f6d6570736575ULL, seed.high ^ 0x646f72616e646f6dULL,
                   seed.low ^ 0x6c7967656e657261ULL, seed.high ^ 0x7465646279746573ULL};
  const char* at = key.data();
  size_t left = key.size();
  for (; left >= 8; at += 8, left -= 8) state.absorb(sip::load_word(at));
  uint64_t tail = static_cast<uint64_t>(key.size()) << 56;
  for (size_t i = 0; i < left; ++i)
    tail |= static_cast<uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  state.absorb(tail);
  state.v2 ^= 0xff;
  state.round();
  state.round();
  state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace moongate::shm
