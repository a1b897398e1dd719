// SPDX-License-Identifier: Apache-2.0
#include "config/places.h"

#include <catch2/catch.hpp>

#include "config/yaml_reader.h"

using namespace moongate::config;

TEST_CASE("a path into the tree leads to its line, or to its nearest parent's") {
  Places places;
  REQUIRE(places.add("conf/a.yaml"));
  const auto root = read_yaml(
      "routes:\n  - uri: /a\n    plugins:\n      limit-count:\n        count: 0\n      a/b: {}\n", 0);
  REQUIRE(root);
  CHECK(places.of(*root, "/routes/0/uri") == "conf/a.yaml:2");
  CHECK(places.of(*root, "/routes/0/plugins") == "conf/a.yaml:3");
  CHECK(places.of(*root, "/routes/0/plugins/limit-count/count") == "conf/a.yaml:5");
  CHECK(places.of(*root, "/routes/0/plugins/limit-count/time_window") == "conf/a.yaml:4");
  CHECK(places.of(*root, "/routes/0/plugins/a~1b") == "conf/a.yaml:6");
  CHECK(places.of(*root, "/routes/7/uri") == "conf/a.yaml:1");
  CHECK(places.of(*root, "") == "conf/a.yaml:1");
  CHECK(places.of(*root, "/") == "conf/a.yaml:1");
  CHECK(places.of(*root, "/routes/x") == "conf/a.yaml:1");
}

TEST_CASE("an error says as much about its place as is known") {
  Places places;
  moongate::base::Value value = moongate::base::Value::null();
  CHECK(places.error(value, "routes", "bad").detail == "routes: bad");
  value.set_place(0, 4);
  CHECK(places.error(value, "routes", "bad").detail == "line 4: routes: bad");
  REQUIRE(places.add("a.yaml"));
  CHECK(places.error(value, "", "bad").detail == "a.yaml:4: bad");
}

TEST_CASE("there may be 256 files and not one more") {
  Places places;
  for (int i = 0; i < 256; ++i) REQUIRE(places.add("f"));
  CHECK_FALSE(places.add("f"));
}
