// SPDX-License-Identifier: Apache-2.0
#include "base/base64.h"

#include <catch2/catch.hpp>

namespace base = moongate::base;

TEST_CASE("bytes come back from base64 as they were, whatever they are and however many") {
  std::string bytes;
  for (int i = 0; i < 300; i++) {
    CHECK(*base::from_base64(base::to_base64(bytes)) == bytes);
    bytes.push_back(static_cast<char>(i * 7));
  }
  CHECK(base::to_base64("any carnal pleas") == "YW55IGNhcm5hbCBwbGVhcw==");
  for (const char* bad : {"a", "YW55*", "YW\n5"}) CHECK_FALSE(base::from_base64(bad).has_value());
}
