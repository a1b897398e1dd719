// SPDX-License-Identifier: Apache-2.0
// The router's hash table and its hash.
#include "router/hash_index.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

using namespace moongate::router;

TEST_CASE("an index that was never allocated is empty") {
  HashIndex index;
  CHECK(index.is_empty());
  CHECK(index.find(1, [](uint32_t) { return true; }) == kNone);
}

TEST_CASE("finds all that was added, also when every hash is the same") {
  std::vector<std::string> texts;
  for (int i = 0; i < 500; i++) texts.push_back("text " + std::to_string(i));
  for (bool is_degenerate : {false, true}) {
    auto hash = [&](const std::string& text) { return is_degenerate ? 0 : hash_text(text); };
    HashIndex index;
    index.allocate(texts.size());
    for (uint32_t i = 0; i < texts.size(); i++) {
      auto is_same = [&](uint32_t value) { return texts[value] == texts[i]; };
      CHECK(index.value_at(index.find_or_add(hash(texts[i]), i, is_same)) == i);
      CHECK(index.value_at(index.find_or_add(hash(texts[i]), 9999, is_same)) == i);
    }
    for (uint32_t i = 0; i < texts.size(); i++) {
      CHECK(index.find(hash(texts[i]), [&](uint32_t value) { return texts[value] == texts[i]; }) == i);
    }
    CHECK(index.find(hash("other"), [&](uint32_t value) { return texts[value] == "other"; }) == kNone);
  }
}

TEST_CASE("the hash tells texts of every size apart, each byte counting") {
  std::set<uint64_t> seen;
  size_t count = 0;
  for (size_t size = 0; size <= 70; size++) {
    std::string text(size, 'a');
    seen.insert(hash_text(text));
    count++;
    for (size_t i = 0; i < size; i++) {
      text[i] = 'b';
      seen.insert(hash_text(text));
      count++;
      text[i] = 'a';
    }
  }
  CHECK(seen.size() == count);
  CHECK(hash_in(hash_text("a"), 1) != hash_in(hash_text("a"), 2));
}

TEST_CASE("what is taken out of a copy is gone there, and everything else is found in both") {
  for (uint64_t hash_max : {uint64_t{1}, uint64_t{40}, UINT64_MAX}) {
    const auto hash_of = [&](uint32_t value) {
      return hash_text("text " + std::to_string(value)) % hash_max;
    };
    HashIndex index;
    index.allocate(500);
    for (uint32_t i = 0; i < 400; i++) index.find_or_add(hash_of(i), i, [](uint32_t) { return false; });
    HashIndex copy;
    size_t at = 0;
    size_t steps = 0;
    for (size_t budget = 1; !copy.copy(index, &at, &budget); budget = 1) steps++;
    CHECK(steps == 1);
    const auto has = [&](const HashIndex& in, uint32_t value) {
      return in.find(hash_of(value), [&](uint32_t seen) { return seen == value; }) == value;
    };
    for (uint32_t i = 0; i < 400; i += 3) {
      copy.remove(copy.find_slot(hash_of(i), [&](uint32_t seen) { return seen == i; }), hash_of);
      size_t kept = 0;
      for (uint32_t j = 0; j < 400; j++) kept += has(copy, j) == (j > i || j % 3 != 0);
      if (kept != 400) FAIL("after " << i << ", hashes below " << hash_max);
    }
    size_t kept = 0;
    for (uint32_t j = 0; j < 400; j++) kept += has(index, j);
    CHECK(kept == 400);
  }
}
