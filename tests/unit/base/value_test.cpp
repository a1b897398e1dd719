// SPDX-License-Identifier: Apache-2.0
// The configuration tree: lookups, replacement and equality.
#include "base/value.h"

#include <catch2/catch.hpp>

using moongate::base::Value;

TEST_CASE("a value answers with the fallback for what is missing or of another type") {
  Value root = Value::object();
  root.set("name", Value::string("a"));
  root.set("count", Value::number(3));
  root.set("on", Value::boolean(true));
  CHECK(root.get_string("name") == "a");
  CHECK(root.get_string("count", "x") == "x");
  CHECK(root.get_number("count", 0) == 3);
  CHECK(root.get_number("name", 7) == 7);
  CHECK(root.get_bool("on", false));
  CHECK_FALSE(root.get_bool("missing", false));
  CHECK(Value::number(1).find("name") == nullptr);
}

TEST_CASE("setting a member twice replaces it in its place") {
  Value root = Value::object();
  root.set("a", Value::number(1));
  root.set("b", Value::number(2));
  root.set("a", Value::number(3));
  REQUIRE(root.members().size() == 2);
  CHECK(root.members()[0].first == "a");
  CHECK(root.members()[0].second.as_number() == 3);
}

TEST_CASE("a member can be replaced by a part of itself") {
  Value inner = Value::object();
  inner.set("deep", Value::string("kept"));
  Value root = Value::object();
  root.set("a", std::move(inner));
  root.set("a", std::move(*root.find("a")->find("deep")));
  CHECK(root.get_string("a") == "kept");
}

TEST_CASE("removing says whether there was anything to remove") {
  Value root = Value::object();
  root.set("a", Value::null());
  CHECK(root.remove("a"));
  CHECK_FALSE(root.remove("a"));
  CHECK_FALSE(Value::null().remove("a"));
}

TEST_CASE("equality ignores the order of keys and the places, not the order of items") {
  Value left = Value::object();
  Value right = Value::object();
  for (int i = 0; i < 40; ++i) left.set("k" + std::to_string(i), Value::number(i));
  for (int i = 39; i >= 0; --i) right.set("k" + std::to_string(i), Value::number(i));
  right.set_place(2, 9);
  CHECK(left == right);
  right.set("k7", Value::number(8));
  CHECK_FALSE(left == right);

  Value ab = Value::array();
  ab.items() = {Value::string("a"), Value::string("b")};
  Value ba = Value::array();
  ba.items() = {Value::string("b"), Value::string("a")};
  CHECK_FALSE(ab == ba);
  CHECK_FALSE(Value::string("1") == Value::number(1));
}
