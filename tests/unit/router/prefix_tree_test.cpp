// SPDX-License-Identifier: Apache-2.0
// The radix tree against a search through all stored texts.
#include "router/prefix_tree_patch.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>

using namespace moongate::router;

namespace {

/// The values on the way up from the deepest prefix.
template <bool kIsReversed>
std::vector<uint32_t> values_of(const PrefixTree& tree, uint32_t root, std::string_view text) {
  std::vector<uint32_t> values;
  for (uint32_t node = tree.find<kIsReversed>(root, text); node != kNone; node = tree.up(node))
    values.push_back(tree.value(node));
  return values;
}

std::string random_text(std::mt19937& random, size_t letter_count) {
  std::string text;
  for (size_t size = random() % 7; size > 0; size--) text += static_cast<char>(random() % letter_count);
  return text;
}

}  // namespace

TEST_CASE("finds every stored prefix, longest first, in all trees of one builder") {
  std::mt19937 random(11);
  for (size_t letter_count : {2, 12, 40, 256}) {
    PrefixTreeBuilder builder;
    builder.reserve(600);
    std::deque<std::string> texts;
    std::vector<std::pair<std::string, uint32_t>> stored[2];
    uint32_t roots[2] = {builder.add_root(), builder.add_root()};
    for (uint32_t i = 0; i < 600; i++) {
      texts.push_back(random_text(random, letter_count));
      uint32_t& value = builder.value(roots[i % 2], texts.back());
      if (value != kNone) continue;
      value = i;
      stored[i % 2].emplace_back(texts.back(), i);
    }
    PrefixTree tree;
    builder.start_freeze(&tree);
    for (uint32_t& root : roots) {
      size_t budget = 0;
      while (!builder.freeze(&root, &budget, [](uint32_t value) { return value + 1000; })) budget = 3;
    }
    for (auto& list : stored) {
      std::sort(list.begin(), list.end(), [](auto& a, auto& b) { return a.first.size() > b.first.size(); });
    }
    for (int i = 0; i < 3000; i++) {
      std::string text = random_text(random, letter_count) + random_text(random, letter_count);
      std::vector<uint32_t> expected;
      for (auto& [prefix, value] : stored[i % 2]) {
        if (text.compare(0, prefix.size(), prefix) == 0) expected.push_back(value + 1000);
      }
      if (values_of<false>(tree, roots[i % 2], text) != expected)
        FAIL("letters " << letter_count << ", try " << i);
      std::string reversed(text.rbegin(), text.rend());
      if (values_of<true>(tree, roots[i % 2], reversed) != expected)
        FAIL("reversed, letters " << letter_count << ", try " << i);
    }
  }
}

TEST_CASE("a tree without texts has no root") {
  PrefixTreeBuilder builder;
  builder.reserve(1);
  uint32_t root = builder.add_root();
  PrefixTree tree;
  builder.start_freeze(&tree);
  size_t budget = 10;
  CHECK(builder.freeze(&root, &budget, [](uint32_t value) { return value; }));
  CHECK(root == kNone);
  CHECK(tree.find(root, "x") == kNone);
}

TEST_CASE("a patched copy finds old and new texts, and what it was copied from is as it was") {
  std::mt19937 random(12);
  for (size_t letter_count : {2, 12, 40, 256}) {
    PrefixTreeBuilder builder;
    builder.reserve(300);
    std::deque<std::string> texts;
    std::map<std::string, uint32_t> stored;
    uint32_t root = builder.add_root();
    for (uint32_t i = 0; i < 300; i++) {
      texts.push_back(random_text(random, letter_count));
      builder.value(root, texts.back()) = i;
      stored[texts.back()] = i;
    }
    auto tree = std::make_unique<PrefixTree>();
    builder.start_freeze(tree.get());
    size_t budget = 10000;
    REQUIRE(builder.freeze(&root, &budget, [](uint32_t value) { return value; }));
    const auto check = [&](const PrefixTree& of, uint32_t from, const std::map<std::string, uint32_t>& all) {
      for (int i = 0; i < 500; i++) {
        std::string text = random_text(random, letter_count) + random_text(random, letter_count);
        std::vector<uint32_t> expected;
        for (size_t size = text.size() + 1; size-- > 0;) {
          const auto found = all.find(text.substr(0, size));
          if (found != all.end()) expected.push_back(found->second);
        }
        if (values_of<false>(of, from, text) != expected) FAIL("letters " << letter_count << ", try " << i);
      }
    };
    for (uint32_t round = 0; round < 30; round++) {
      const auto before = stored;
      const uint32_t old_root = root;
      auto next = std::make_unique<PrefixTree>();
      PrefixTreePatch patch;
      patch.start(*tree, next.get());
      while (!patch.copy(&(budget = 1))) {
      }
      for (uint32_t i = 0; i < 20; i++) {
        const std::string text = random_text(random, letter_count);
        const uint32_t* present = patch.find(root, text);
        REQUIRE((present != nullptr) == (stored.count(text) > 0));
        patch.value(&root, text) = 1000 + round * 20 + i;
        stored[text] = 1000 + round * 20 + i;
      }
      REQUIRE_FALSE(patch.is_spoilt());
      check(*tree, old_root, before);
      tree = std::move(next);
      check(*tree, root, stored);
    }
  }
}

TEST_CASE("texts can be patched into a tree that has none") {
  PrefixTree empty;
  PrefixTree tree;
  PrefixTreePatch patch;
  size_t budget = 1;
  uint32_t root = kNone;
  patch.start(empty, &tree);
  CHECK(patch.copy(&budget));
  patch.value(&root, "/ab") = 1;
  patch.value(&root, "/a") = 2;
  patch.value(&root, "x") = 3;
  CHECK(values_of<false>(tree, root, "/abc") == std::vector<uint32_t>{1, 2});
  CHECK(values_of<false>(tree, root, "xy") == std::vector<uint32_t>{3});
  CHECK(values_of<false>(tree, root, "/") == std::vector<uint32_t>{});
}
