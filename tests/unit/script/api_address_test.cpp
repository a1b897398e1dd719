// SPDX-License-Identifier: Apache-2.0
// Address matching as Lua calls it.
#include <catch2/catch.hpp>
#include <cstddef>
#include <string_view>

extern "C" int mg_address_in_cidr(const char* address, size_t address_size, const char* cidr,
                                  size_t cidr_size);

namespace {
int is_in(std::string_view address, std::string_view cidr) {
  return mg_address_in_cidr(address.data(), address.size(), cidr.data(), cidr.size());
}
}  // namespace

TEST_CASE("tells Lua whether an address lies within a network, or that one does not parse") {
  CHECK(is_in("10.1.2.3", "10.0.0.0/8") == 1);
  CHECK(is_in("11.1.2.3", "10.0.0.0/8") == 0);
  CHECK(is_in("::1", "::1") == 1);
  CHECK(is_in("10.1.2.3", "::/0") == 0);
  CHECK(is_in("10.1.2", "10.0.0.0/8") == -1);
  CHECK(is_in("10.1.2.3", "10.0.0.0/40") == -1);
  CHECK(is_in("", "") == -1);
}
