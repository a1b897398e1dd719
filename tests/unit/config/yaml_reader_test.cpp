// SPDX-License-Identifier: Apache-2.0
// YAML: what scalars mean, where values are, what is refused and with which words.
#include "config/yaml_reader.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config_fixture.h"

using namespace moongate::config;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

std::string json(std::string_view text, const Environment& environment = {}) {
  const auto value = read_yaml(text, 0, environment);
  return value ? to_json(*value) : "error: " + value.error().detail;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("plain scalars have the types of YAML 1.1") {
  CHECK(json("[true, True, yes, on, ON]") == "[true,true,true,true,true]");
  CHECK(json("[false, FALSE, no, Off]") == "[false,false,false,false]");
  CHECK(json("[~, null, Null, NULL]") == "[null,null,null,null]");
  CHECK(json("a:") == R"({"a":null})");
  CHECK(json("[0, 12, -3, +4, 1_000, 0x1F, 0b101, 017, 08]") == "[0,12,-3,4,1000,31,5,15,8]");
  CHECK(json("[1.5, .5, -0.25, 1e3, 1.5e-2]") == "[1.5,0.5,-0.25,1000,0.015]");
  CHECK(json("[y, n, 1.2.3, 127.0.0.1, 22:22, 1e, e3, -, +, ., 0x, 1-2, v1, _1, 2020-01-01]") ==
        R"(["y","n","1.2.3","127.0.0.1","22:22","1e","e3","-","+",".","0x","1-2","v1","_1","2020-01-01"])");
}

TEST_CASE("quoted and block scalars are text, whatever they look like") {
  CHECK(json("['1', \"true\", '', \"a\\tb\"]") == R"(["1","true","","a\tb"])");
  CHECK(json("a: |\n  1\n  2\n") == R"({"a":"1\n2\n"})");
  CHECK(json("a: >-\n  b\n  c\n") == R"({"a":"b c"})");
}

TEST_CASE("tags that fit are obeyed and others refused") {
  CHECK(json("[!!str 1, !!int 2, !!float 3, !!bool yes, ! 4]") == R"(["1",2,3,true,"4"])");
  CHECK(json("a: !!int x") == "error: 1:4: the value does not fit its tag !!int");
  CHECK(contains(json("a: !!python/object x"), "1:4: unknown tag"));
  CHECK(contains(json("a: !!set {b}"), "1:4: unknown tag"));
}

TEST_CASE("keys are text even when they look like numbers or words") {
  CHECK(json("200: a\ntrue: b\n~: c\n'x y': d\n") == R"({"200":"a","true":"b","~":"c","x y":"d"})");
}

TEST_CASE("numbers that JSON cannot carry are refused") {
  CHECK(contains(json("a: .inf"), "1:4: .inf is not a usable number"));
  CHECK(contains(json("a: -.NaN"), "1:4: -.NaN is not a usable number"));
  CHECK(contains(json("a: 1e999"), "1:4: the number is out of range"));
}

TEST_CASE("an empty text and one of comments only are null") {
  CHECK(json("") == "null");
  CHECK(json("# nothing\n#END\n") == "null");
  CHECK(json("\xEF\xBB\xBF"
             "a: 1\n#END") == R"({"a":1})");
}

TEST_CASE("values know the line of their key, items their own") {
  const auto root =
      read_yaml("a:\n  b: 1\n\n  c:\n    - x\n    -\n      d: 2\n  e: |\n    text\n  f:\n    far\n", 3);
  REQUIRE(root);
  const Value& a = *root->find("a");
  CHECK(a.line() == 1);
  CHECK(a.file() == 3);
  CHECK(a.find("b")->line() == 2);
  CHECK(a.find("c")->line() == 4);
  CHECK(a.find("c")->items()[0].line() == 5);
  CHECK(a.find("c")->items()[1].line() == 7);
  CHECK(a.find("c")->items()[1].find("d")->line() == 7);
  CHECK(a.find("e")->line() == 8);
  CHECK(a.find("f")->line() == 10);
}

TEST_CASE("aliases and merge keys are expanded, the mapping's own keys first") {
  CHECK(json("a: &x {b: 1, c: 2}\nd: *x\n") == R"({"a":{"b":1,"c":2},"d":{"b":1,"c":2}})");
  CHECK(json("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n") == R"({"a":{"b":1,"c":2},"d":{"b":3,"c":2}})");
  CHECK(json("- &x {b: 1}\n- &y {b: 2, c: 3}\n- <<: [*x, *y]\n") ==
        R"([{"b":1},{"b":2,"c":3},{"b":1,"c":3}])");
  CHECK(json("'<<': 1") == R"({"<<":1})");
  CHECK(json("- &x {b: 1}\n- &x {b: 2}\n- *x\n") == R"([{"b":1},{"b":2},{"b":2}])");
}

TEST_CASE("an alias keeps the lines of what it stands for") {
  const auto root = read_yaml("a: &x\n  b: 1\nd: *x\n", 0);
  REQUIRE(root);
  CHECK(root->find("d")->line() == 3);
  CHECK(root->find("d")->find("b")->line() == 2);
}

TEST_CASE("wrong aliases and merges are refused with their place") {
  CHECK(json("a: *x") == "error: 1:4: the alias *x has no anchor &x before it");
  CHECK(contains(json("a: &x [*x]"), "the alias *x has no anchor"));
  CHECK(contains(json("a:\n  <<: 1\n"), "2:7: `<<` takes a mapping or a list of mappings"));
  CHECK(contains(json("&k a: 1"), "1:1: an anchor on a key"));
}

TEST_CASE("a few lines of aliases cannot become millions of values") {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) bomb += "," + before;
    bomb += "]\n";
  }
  CHECK(contains(json(bomb), "aliases make more than a million values"));

  std::string heavy = "a: &a '" + std::string(1 << 20, 'x') + "'\nb: [*a";
  for (int i = 0; i < 100; ++i) heavy += ",*a";
  CHECK(contains(json(heavy + "]\n"), "aliases make more than a million values or 64 MB"));
}

TEST_CASE("nesting is limited to 64 levels, aliases included") {
  CHECK(json(std::string(64, '[') + std::string(64, ']')) == std::string(64, '[') + std::string(64, ']'));
  CHECK(contains(json(std::string(65, '[') + std::string(65, ']')), "nested deeper than 64 levels"));
  CHECK(contains(json(std::string(100'000, '[')), "nested deeper than 64 levels"));
  const std::string half = std::string(40, '[') + std::string(40, ']');
  const std::string other = std::string(30, '[') + "*x" + std::string(30, ']');
  CHECK(contains(json("a: &x " + half + "\nb: " + other + "\n"), "nested deeper than 64 levels"));
}

TEST_CASE("repeated keys and second documents are refused") {
  CHECK(json("a: 1\nb: 2\na: 3\n") == "error: 3:1: the key `a` appears twice in one mapping; remove one");
  CHECK(json("a: 1\n---\nb: 2\n") == "error: 2:1: a second document begins here; a file holds one");
  std::string many;
  for (int i = 0; i < 40; ++i) many += "k" + std::to_string(i) + ": 1\n";
  CHECK(json(many + "k7: 2\n") == "error: 41:1: the key `k7` appears twice in one mapping; remove one");
  CHECK(contains(json("? [a]\n: 1\n"), "1:3: a key that is not a plain text"));
}

TEST_CASE("bytes that are no text are refused with their line") {
  CHECK(json(std::string_view("a: 1\nb: \0", 9)) == "error: 2:4: a NUL byte; is this a text file?");
  CHECK(json("a: 1\nb: \xFF\n") == "error: 2:4: bytes that are not UTF-8; save the file as UTF-8");
  CHECK(contains(json("a: 1\n\nb: \x01\n"), "3:4: a control character"));
  CHECK(contains(json("a: 1\nb: \x7F\n"), "2:4: control characters are not allowed"));
  CHECK(json("a: \"x\\0y\"") == "error: 1:4: a NUL character in a text; remove it");
  CHECK(contains(json(std::string("\xFF\xFE"
                                  "a\0",
                                  4)),
                 "1:1:"));
}

TEST_CASE("mistakes of syntax say where they are and what may help") {
  CHECK(contains(json("routes:\n\t- a\n"), "2:1: found character that cannot start any token"));
  CHECK(contains(json("routes:\n\t- a\n"), "indent with spaces"));
  CHECK(contains(json("a: b: c\n"),
                 "1:5: mapping values are not allowed in this context; check the indentation"));
  CHECK(contains(json("a: [1, 2\nb: 3\n"), "2:2:"));
  CHECK(contains(json("a: 'x\n"), "a quote or bracket is not closed"));
  CHECK(contains(json("a: @b"), "quote values that begin with @"));
}

TEST_CASE("a plain scalar that is one variable is typed by its value; any other stays text") {
  const auto environment = environment_of({{"PORT", "8080"}, {"ON", "true"}, {"NAME", "x"}});
  CHECK(json("a: ${PORT}", environment) == R"({"a":8080})");
  CHECK(json("a: ${{ON}}", environment) == R"({"a":true})");
  CHECK(json("a: '${PORT}'", environment) == R"({"a":"8080"})");
  CHECK(json("a: ${PORT}0", environment) == R"({"a":"80800"})");
  CHECK(json("a: ${NONE:-5}", environment) == R"({"a":5})");
  CHECK(json("a: ${NONE:-}", environment) == R"({"a":null})");
  CHECK(json("a: $${PORT}", environment) == R"({"a":"${PORT}"})");
  CHECK(json("'${NAME}:80': 1", environment) == R"({"x:80":1})");
  CHECK(contains(json("a: 1\nb: ${NONE}", environment),
                 "error: 2:4: the environment variable NONE is not set"));
}

TEST_CASE("without an environment, references are text") {
  CHECK(json("a: ${PORT}") == R"({"a":"${PORT}"})");
}

TEST_CASE("JSON is read as YAML too") {
  CHECK(json("{\"a\": [1, \"x\\/y\", null, true], \"b\": {}}") == R"({"a":[1,"x/y",null,true],"b":{}})");
}

TEST_CASE("limits on text and values hold") {
  YamlLimits limits;
  limits.text_max_bytes = 10;
  CHECK_FALSE(read_yaml("a: 12345678", 0, {}, limits));
  limits = YamlLimits();
  limits.nodes_max = 3;
  CHECK(read_yaml("[1, 2]", 0, {}, limits));
  CHECK_FALSE(read_yaml("[1, 2, 3]", 0, {}, limits));
}
