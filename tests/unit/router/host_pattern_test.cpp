// SPDX-License-Identifier: Apache-2.0
// How host patterns are read and what they match.
#include "router/host_pattern.h"

#include <catch2/catch.hpp>

using namespace moongate::router;

TEST_CASE("takes star, name and port apart") {
  CHECK(parse_host_pattern("a.com").name == "a.com");
  CHECK_FALSE(parse_host_pattern("a.com").is_suffix);
  CHECK(parse_host_pattern("*.a.com:81").name == ".a.com");
  CHECK(parse_host_pattern("*.a.com:81").port == 81);
  CHECK(parse_host_pattern("*.a.com:81").is_suffix);
  CHECK(parse_host_pattern("*.a.com:81").text == "*.a.com:81");
  CHECK(parse_host_pattern("*").name.empty());
  CHECK(parse_host_pattern("[::1]:81").name == "[::1]");
  CHECK(parse_host_pattern("[::1]:81").port == 81);
  CHECK(parse_host_pattern("[::1]").name == "[::1]");
}

TEST_CASE("what is no port stays in the name") {
  for (const char* text :
       {"::1", "a.com:", "a.com:0", "a.com:65536", "a.com:x", "a.com:1:2", "[::1", "a.com:-1", "a.com:+1"}) {
    INFO(text);
    CHECK(parse_host_pattern(text).name == text);
    CHECK(parse_host_pattern(text).port == 0);
  }
  CHECK(parse_host_pattern("a.com:65535").port == 65535);
}

TEST_CASE("a port is compared only when the pattern has one") {
  CHECK(parse_host_pattern("a.com").matches("a.com", 81));
  CHECK(parse_host_pattern("a.com:81").matches("a.com", 81));
  CHECK_FALSE(parse_host_pattern("a.com:81").matches("a.com", 0));
  CHECK_FALSE(parse_host_pattern("a.com").matches("b.a.com", 0));
  CHECK(parse_host_pattern("*").matches("", 0));
}

TEST_CASE("a pattern that no host can be like is refused with what would be right") {
  for (const char* text :
       {"a.com", "*.a.com", "*", "*a.com", "A.com:81", "[::1]:81", "[::1]", "::1", "a_b", "a-b.c."}) {
    INFO(text);
    CHECK(check_host_pattern(text).ok());
  }
  for (const char* text : {"", "a.*.com", "a.com:", "a.com:0", "a.com:65536", "a.com:x", "[::1", "[a.com]",
                           "http://a.com", "a b", "a/b", "a.com:1:2"}) {
    INFO(text);
    auto checked = check_host_pattern(text);
    REQUIRE_FALSE(checked.ok());
    CHECK(checked.error().detail.find("; write NAME") != std::string::npos);
  }
}
