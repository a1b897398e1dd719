// SPDX-License-Identifier: Apache-2.0
#include "metrics/block_map.h"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <vector>

using moongate::metrics::BlockMap;

namespace {

struct Fixture {
  explicit Fixture(uint64_t count) : words(BlockMap::size_bytes(count) / 8), map(words.data(), count, &top) {
    map.clear();
  }
  std::vector<uint64_t> words;
  uint64_t top = 0;
  BlockMap map;
};

}  // namespace

TEST_CASE("what is freed piece by piece is free as one") {
  Fixture f(200);
  for (uint64_t block = 200; block > 0; block -= 2) REQUIRE(f.map.take_last(2, 0) == block - 2);
  REQUIRE_FALSE(f.map.take_last(1, 0));
  for (const uint64_t block : {60, 64, 62}) f.map.give(block, 2);
  CHECK_FALSE(f.map.take_last(7, 0));
  CHECK(f.map.take_last(6, 0) == 60u);
  CHECK_FALSE(f.map.take_last(1, 0));
}

TEST_CASE("nothing is taken below the limit, beyond the end, or twice") {
  Fixture f(100);
  REQUIRE(f.map.take_at(0, 10));
  CHECK_FALSE(f.map.take_at(9, 2));
  CHECK_FALSE(f.map.take_at(99, 2));
  REQUIRE(f.map.take_last(90, 10) == 10u);
  f.map.give(0, 10);
  CHECK_FALSE(f.map.take_last(1, 10));
  CHECK(f.map.take_last(10, 0) == 0u);
}

TEST_CASE("runs that come and go at random never overlap, and all come back") {
  constexpr uint64_t kCount = 1000;
  Fixture f(kCount);
  std::mt19937 random(5);
  std::map<uint64_t, uint64_t> runs;
  for (int i = 0; i < 20'000; i++) {
    if (random() % 2 == 0 && !runs.empty()) {
      auto gone = std::next(runs.begin(), static_cast<std::ptrdiff_t>(random() % runs.size()));
      f.map.give(gone->first, gone->second);
      runs.erase(gone);
      continue;
    }
    const uint64_t count = 1 + random() % 65;
    const auto first = f.map.take_last(count, 0);
    if (!first) continue;
    const auto [at, is_new] = runs.emplace(*first, count);
    REQUIRE(is_new);
    REQUIRE(*first + count <= kCount);
    if (std::next(at) != runs.end()) REQUIRE(*first + count <= std::next(at)->first);
    if (at != runs.begin()) REQUIRE(std::prev(at)->first + std::prev(at)->second <= *first);
  }
  for (const auto& [first, count] : runs) f.map.give(first, count);
  CHECK(f.map.take_last(kCount, 0) == 0u);
}
