// SPDX-License-Identifier: Apache-2.0
// Percent-encoding of free text and the arguments of a query.
#include <catch2/catch.hpp>
#include <string>

#include "http/uri.h"

using namespace moongate;
using http::EscapeSet;

TEST_CASE("text is escaped by the set asked for") {
  base::Arena arena;
  CHECK(http::escape("/a b/\xc3\xa9;x?%", EscapeSet::kPath, &arena) == "/a%20b/%C3%A9;x%3F%25");
  CHECK(http::escape("/a b&c=d+e", EscapeSet::kComponent, &arena) == "%2Fa%20b%26c%3Dd%2Be");
  CHECK(http::escape("a-._~Z9", EscapeSet::kComponent, &arena) == "a-._~Z9");
  CHECK(http::escape("", EscapeSet::kPath, &arena).empty());
}

TEST_CASE("well-formed encodings are decoded and others left alone") {
  base::Arena arena;
  CHECK(http::unescape("a%20b%2f%C3%a9", false, &arena) == "a b/\xc3\xa9");
  CHECK(http::unescape("a+b%2B", true, &arena) == "a b+");
  CHECK(http::unescape("a+b", false, &arena) == "a+b");
  CHECK(http::unescape("%", false, &arena) == "%");
  CHECK(http::unescape("%4", false, &arena) == "%4");
  CHECK(http::unescape("%zz%4x%%41", false, &arena) == "%zz%4x%A");
  CHECK(http::unescape("%00", false, &arena) == std::string_view("\0", 1));
}

TEST_CASE("every byte survives escaping and unescaping") {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  base::Arena arena;
  for (const EscapeSet set : {EscapeSet::kPath, EscapeSet::kComponent}) {
    CHECK(http::unescape(http::escape(all, set, &arena), false, &arena) == all);
  }
}

TEST_CASE("a query is walked argument by argument") {
  std::string_view rest = "a=1&b&c=&&=d&e=f=g";
  std::string seen;
  std::string_view name, value;
  bool has_value = false;
  while (http::next_query_argument(&rest, &name, &value, &has_value)) {
    seen.append(name).append(has_value ? "=" : "!").append(value).append("|");
  }
  CHECK(seen == "a=1|b!|c=|=d|e=f=g|");
  rest = "";
  CHECK_FALSE(http::next_query_argument(&rest, &name, &value, &has_value));
  rest = "&&&";
  CHECK_FALSE(http::next_query_argument(&rest, &name, &value, &has_value));
}
