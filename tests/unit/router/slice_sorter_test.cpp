// SPDX-License-Identifier: Apache-2.0
// Sorting in slices against sorting at once.
#include "router/slice_sorter.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <random>

using moongate::router::SliceSorter;

TEST_CASE("sorts any number of items with any budget") {
  std::mt19937 random(3);
  for (size_t count : {0, 1, 2, 63, 64, 65, 127, 128, 129, 1000, 4096, 5000}) {
    for (size_t budget : {1, 7, 100, 1000000}) {
      std::vector<int> items(count);
      std::iota(items.begin(), items.end(), 0);
      std::vector<int> sorted = items;
      std::shuffle(items.begin(), items.end(), random);
      SliceSorter<int> sorter;
      sorter.start(&items);
      for (size_t left = budget; !sorter.step(&left); left = budget) CHECK(left == 0);
      CHECK(items == sorted);
    }
  }
}
