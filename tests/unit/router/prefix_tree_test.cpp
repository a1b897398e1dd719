// SPDX-License-Identifier: Apache-2.0
// The radix tree against a search through all stored texts.
#include "router/prefix_tree.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
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
