// SPDX-License-Identifier: Apache-2.0
#include "base/copy.h"

#include <catch2/catch.hpp>
#include <string>

namespace base = moongate::base;

TEST_CASE("short copies move every byte and none beside it, whatever the length") {
  std::string from;
  for (int i = 0; i < 100; ++i) from += static_cast<char>('!' + i % 90);
  for (size_t size = 0; size <= from.size(); ++size) {
    std::string to(from.size() + 2, '~');
    base::copy_short(to.data() + 1, from.data(), size);
    CHECK(to.substr(1, size) == from.substr(0, size));
    CHECK(to[0] == '~');
    CHECK(to.substr(size + 1) == std::string(from.size() - size + 1, '~'));
  }
}
