// SPDX-License-Identifier: Apache-2.0
#include "config/suggest.h"

#include <array>

#include <catch2/catch.hpp>

using namespace moongate::config;

TEST_CASE("the edit distance counts letters inserted, deleted, replaced and swapped") {
  CHECK(edit_distance("routes", "routes") == 0);
  CHECK(edit_distance("rotues", "routes") == 1);
  CHECK(edit_distance("route", "routes") == 1);
  CHECK(edit_distance("rroutes", "routes") == 1);
  CHECK(edit_distance("raotes", "routes") == 2);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
}

TEST_CASE("the nearest word is suggested when it is near") {
  constexpr std::array<std::string_view, 3> kKnown{"routes", "upstreams", "consumer_groups"};
  CHECK(nearest_word("rotues", kKnown) == "routes");
  CHECK(nearest_word("upstrem", kKnown) == "upstreams");
  CHECK(nearest_word("consumergruppen", kKnown) == "consumer_groups");
  CHECK(nearest_word("zebra", kKnown).empty());
  CHECK(nearest_word("", kKnown).empty());
  CHECK(nearest_word(std::string(100'000, 'r'), kKnown).empty());
}

TEST_CASE("two letters are no reason to suggest two other letters") {
  constexpr std::array<std::string_view, 2> kKnown{"id", "ip"};
  CHECK(nearest_word("xy", kKnown).empty());
  CHECK(nearest_word("ix", kKnown) == "id");
}

TEST_CASE("when nothing is near, what is known is listed") {
  constexpr std::array<std::string_view, 3> kKnown{"tls", "http2", "address"};
  CHECK(describe_unknown("key", "adress", kKnown) == "unknown key `adress`; did you mean `address`?");
  CHECK(describe_unknown("key", "zebra", kKnown) == "unknown key `zebra`; known are tls, http2 and address");
}
