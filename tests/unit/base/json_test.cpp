// SPDX-License-Identifier: Apache-2.0
// JSON: what is accepted, what is refused and where the refusal points.
#include "base/json.h"

#include <limits>

#include <catch2/catch.hpp>

using moongate::base::append_json_string;
using moongate::base::parse_json;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

std::string error_of(std::string_view text) {
  const auto parsed = parse_json(text);
  return parsed ? "" : parsed.error().detail;
}

std::string again(std::string_view text) {
  const auto parsed = parse_json(text);
  return parsed ? to_json(*parsed) : "error: " + parsed.error().detail;
}

}  // namespace

TEST_CASE("JSON text survives reading and writing") {
  CHECK(again(R"({"b":[1,2.5,-3,true,false,null],"a":{"c":"x"}})") ==
        R"({"b":[1,2.5,-3,true,false,null],"a":{"c":"x"}})");
  CHECK(again(" [ ] ") == "[]");
  CHECK(again("{}") == "{}");
  CHECK(again("\"\\u00e9\\ud83d\\ude00\\n\\/\"") == "\"\xC3\xA9\xF0\x9F\x98\x80\\n/\"");
  CHECK(again("9007199254740991") == "9007199254740991");
  CHECK(again("1e3") == "1000");
  CHECK(again("-0") == "0");
  CHECK(again("0.1") == "0.1");
}

TEST_CASE("canonical JSON sorts the keys at every level") {
  const auto parsed = parse_json(R"({"b":{"z":1,"y":2},"a":0})");
  REQUIRE(parsed);
  CHECK(to_json(*parsed, true) == R"({"a":0,"b":{"y":2,"z":1}})");
  CHECK(to_json(*parsed, false) == R"({"b":{"z":1,"y":2},"a":0})");
}

TEST_CASE("JSON values know their lines") {
  const auto parsed = parse_json("{\n \"a\": [\n  1,\n  {\"b\": 2}\n ],\n \"c\": 3\n}");
  REQUIRE(parsed);
  CHECK(parsed->line() == 1);
  CHECK(parsed->find("a")->line() == 2);
  CHECK(parsed->find("a")->items()[0].line() == 3);
  CHECK(parsed->find("a")->items()[1].find("b")->line() == 4);
  CHECK(parsed->find("c")->line() == 6);
}

TEST_CASE("what is not JSON is refused with line and column") {
  CHECK(error_of("{\n  \"a\": 01\n}") == "line 2, column 9: a number has no leading zeros");
  CHECK(error_of("{\"a\":1,}") == "line 1, column 8: a key in double quotes is expected");
  CHECK(error_of("[1,]") == "line 1, column 4: a value is expected");
  CHECK(error_of("[1 2]") == "line 1, column 4: a comma or ] is expected");
  CHECK(error_of("") == "line 1, column 1: the text ends where a value should be");
  CHECK(error_of("1 1") == "line 1, column 3: something follows the value; JSON text is one value");
  for (const char* bad : {"nul",
                          "+1",
                          "1.",
                          ".5",
                          "1e",
                          "-",
                          "'a'",
                          "\"a",
                          "\"\\x\"",
                          "\"\\u12\"",
                          "{a:1}",
                          "{\"a\" 1}",
                          "[1}",
                          "NaN",
                          "Infinity",
                          "\"\x01\"",
                          "\"\\ud800\"",
                          "\"\\udc00\"",
                          "\"\\ud800\\u0041\"",
                          "// c\n1",
                          "\xEF\xBB\xBF{}",
                          "\"\xC0\x80\"",
                          "\"\xED\xA0\x80\"",
                          "1e999"}) {
    INFO(bad);
    CHECK_FALSE(error_of(bad).empty());
  }
}

TEST_CASE("a repeated key is refused even when it is spelt with an escape") {
  CHECK(error_of("{\"a\":1,\n \"\\u0061\":2}") == "line 2, column 2: the key \"a\" appears twice");
}

TEST_CASE("a NUL is refused, since half of the world would end the string there") {
  CHECK(error_of("\"admin\\u0000x\"").find("NUL") != std::string::npos);
  CHECK_FALSE(error_of(std::string_view("\"a\0b\"", 5)).empty());
}

TEST_CASE("nesting is limited to 100 levels") {
  CHECK(error_of(std::string(100, '[') + std::string(100, ']')).empty());
  CHECK(error_of(std::string(101, '[') + std::string(101, ']')).find("100 levels") != std::string::npos);
  CHECK(error_of(std::string(1000000, '[')).find("100 levels") != std::string::npos);
}

TEST_CASE("a number too long for an exact reading is refused") {
  CHECK(error_of(std::string(60, '1')).empty());
  CHECK(error_of(std::string(70, '1')).find("60 characters") != std::string::npos);
}

TEST_CASE("a JSON string escapes what it must and replaces what is not UTF-8") {
  std::string out;
  append_json_string(out, "a\"\\\n\x01\x7F\xFF\xC3\xA9");
  CHECK(out == "\"a\\\"\\\\\\n\\u0001\\u007f\xEF\xBF\xBD\xC3\xA9\"");
  Value value = Value::number(std::numeric_limits<double>::infinity());
  CHECK(to_json(value) == "null");
}
