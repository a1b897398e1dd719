// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate::net;

TEST_CASE("an address is written the way it is read") {
  for (const char* text :
       {"127.0.0.1:8080", "0.0.0.0:1", "[::1]:8080", "[2001:db8::1]:65535", "unix:/run/a.sock"}) {
    auto address = parse_listen_address(text);
    REQUIRE(address.ok());
    CHECK(address->text() == text);
  }
}

TEST_CASE("a bare port means every IPv4 address") {
  auto address = parse_listen_address("9080");
  REQUIRE(address.ok());
  CHECK(address->text() == "0.0.0.0:9080");
}

TEST_CASE("what is no listening address is refused, and quoted") {
  for (const char* text : {"", ":", "x", "80x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                           "localhost:80", "[::1:80", "1.2.3:80", "127.0.0.1: 80", "unix:"}) {
    INFO(text);
    auto address = parse_listen_address(text);
    REQUIRE_FALSE(address.ok());
    CHECK_FALSE(address.error().detail.empty());
  }
}

TEST_CASE("a unix path may have 107 bytes and no more") {
  CHECK(make_unix_address(std::string(107, 'a')).ok());
  CHECK_FALSE(make_unix_address(std::string(108, 'a')).ok());
  CHECK(make_unix_address(std::string(107, 'a'))->host_text() == "unix:" + std::string(107, 'a'));
}

TEST_CASE("literals are known with and without brackets, names are not literals") {
  for (const char* text : {"10.0.0.1", "::", "[::1]", "::ffff:10.0.0.1"}) CHECK(is_ip_literal(text));
  for (const char* text : {"a.test", "10.0.0", "10.0.0.256", "", "[]", "1", "0x7f.1"})
    CHECK_FALSE(is_ip_literal(text));
}

TEST_CASE("an IPv4 address in IPv6 clothes is shown as what it is") {
  CHECK(make_ip_address("::ffff:10.0.0.1", 80)->text() == "10.0.0.1:80");
}

TEST_CASE("addresses are equal when host and port are") {
  CHECK(*make_ip_address("10.0.0.1", 80) == *make_ip_address("10.0.0.1", 80));
  CHECK_FALSE(*make_ip_address("10.0.0.1", 80) == *make_ip_address("10.0.0.1", 81));
  CHECK_FALSE(*make_ip_address("10.0.0.1", 80) == *make_ip_address("::1", 80));
}
