// SPDX-License-Identifier: Apache-2.0
// The language of vars: every operator, every way to join, every error text.
#include "router/expression.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "fixtures.h"

using namespace moongate;
using namespace moongate::router;

namespace {

/// Installs the tests' regex engine for as long as it lives.
struct WithRegex {
  WithRegex() { set_regex_engine(&engine); }
  ~WithRegex() { set_regex_engine(nullptr); }
  StdRegexEngine engine;
};

bool holds(std::string_view json, MapVariables variables = {}) {
  WithRegex regex;
  auto expression = compile_json(json);
  if (!expression.ok()) FAIL(json << ": " << expression.error().detail);
  return expression.value()->evaluate(variables);
}

std::string error_of(std::string_view json) {
  WithRegex regex;
  auto expression = compile_json(json);
  return expression.ok() ? "" : expression.error().detail;
}

}  // namespace

TEST_CASE("an empty list is true") {
  CHECK(holds("[]"));
  CHECK(holds("{}"));
}

TEST_CASE("== and ~= compare texts as they are") {
  CHECK(holds(R"([["arg_a","==","x"]])", {{"arg_a", "x"}}));
  CHECK_FALSE(holds(R"([["arg_a","==","x"]])", {{"arg_a", "X"}}));
  CHECK_FALSE(holds(R"([["arg_a","==","x"]])"));
  CHECK(holds(R"([["arg_a","~=","x"]])", {{"arg_a", "y"}}));
  CHECK(holds(R"([["arg_a","~=","x"]])"));
  CHECK_FALSE(holds(R"([["arg_a","~=","x"]])", {{"arg_a", "x"}}));
}

TEST_CASE("a number on the right makes == and ~= numeric") {
  CHECK(holds(R"([["a","==",10]])", {{"a", "10.0"}}));
  CHECK(holds(R"([["a","==",10]])", {{"a", " 0x0A "}}));
  CHECK_FALSE(holds(R"([["a","==",10]])", {{"a", "ten"}}));
  CHECK_FALSE(holds(R"([["a","==",10]])"));
  CHECK(holds(R"([["a","~=",10]])", {{"a", "ten"}}));
  CHECK(holds(R"([["a","~=",10]])"));
  CHECK_FALSE(holds(R"([["a","~=",10]])", {{"a", "1e1"}}));
  CHECK_FALSE(holds(R"([["a","==","10"]])", {{"a", "10.0"}}));
}

TEST_CASE("null on the right means that the variable is not there") {
  CHECK(holds(R"([["a","==",null]])"));
  CHECK_FALSE(holds(R"([["a","==",null]])", {{"a", ""}}));
  CHECK(holds(R"([["a","~=",null]])", {{"a", ""}}));
  CHECK_FALSE(holds(R"([["a","~=",null]])"));
}

TEST_CASE("a boolean or a list on the right equals no text") {
  CHECK_FALSE(holds(R"([["a","==",true]])", {{"a", "true"}}));
  CHECK(holds(R"([["a","~=",["x"]]])", {{"a", "x"}}));
}

TEST_CASE("> >= < <= convert both sides and are false when one is no number") {
  CHECK(holds(R"([["a",">",9]])", {{"a", "10"}}));
  CHECK_FALSE(holds(R"([["a",">","10"]])", {{"a", "9"}}));
  CHECK_FALSE(holds(R"([["a",">",10]])", {{"a", "10"}}));
  CHECK(holds(R"([["a",">=",10]])", {{"a", "10"}}));
  CHECK(holds(R"([["a","<","10"]])", {{"a", "9"}}));
  CHECK_FALSE(holds(R"([["a","<",10]])", {{"a", "10"}}));
  CHECK(holds(R"([["a","<=",10]])", {{"a", "10"}}));
  for (const char* rule :
       {R"([["a",">","x"]])", R"([["a","<=",null]])", R"([["a","<",true]])", R"([["a",">=",[1]]])"}) {
    INFO(rule);
    CHECK_FALSE(holds(rule, {{"a", "1"}}));
  }
  CHECK_FALSE(holds(R"([["a","<",10]])"));
  CHECK_FALSE(holds(R"([["a","<",10]])", {{"a", "1x"}}));
  CHECK_FALSE(holds(R"([["a","<",10]])", {{"a", "nan"}}));
}

TEST_CASE("~~ and ~* search for a pattern") {
  CHECK(holds(R"([["a","~~","^b+c"]])", {{"a", "bbcd"}}));
  CHECK(holds(R"([["a","~~","c"]])", {{"a", "bbcd"}}));
  CHECK_FALSE(holds(R"([["a","~~","^B"]])", {{"a", "bc"}}));
  CHECK(holds(R"([["a","~*","^B"]])", {{"a", "bc"}}));
  CHECK_FALSE(holds(R"([["a","~~",".*"]])"));
  CHECK(holds(R"([["a","~~",12]])", {{"a", "x12"}}));
  CHECK(holds(R"([["a","!","~~","^b"]])"));
}

TEST_CASE("in finds the variable among the texts of a list") {
  CHECK(holds(R"([["a","in",["z","x","y"]]])", {{"a", "x"}}));
  CHECK_FALSE(holds(R"([["a","in",["x"]]])", {{"a", "xx"}}));
  CHECK_FALSE(holds(R"([["a","in",["x"]]])"));
  CHECK_FALSE(holds(R"([["a","in",[1]]])", {{"a", "1"}}));
  CHECK_FALSE(holds(R"([["a","in","x"]])", {{"a", "x"}}));
  CHECK_FALSE(holds(R"([["a","in",[]]])", {{"a", ""}}));
}

TEST_CASE("has finds a value in a variable that is a list") {
  MapVariables variables;
  variables.lists["graphql_root_fields"] = {"owner", "repo", "7"};
  variables.texts["text"] = "owner";
  CHECK(holds(R"([["graphql_root_fields","has","owner"]])", variables));
  CHECK(holds(R"([["graphql_root_fields","has",7]])", variables));
  CHECK_FALSE(holds(R"([["graphql_root_fields","has","issue"]])", variables));
  CHECK_FALSE(holds(R"([["graphql_root_fields","has",null]])", variables));
  CHECK_FALSE(holds(R"([["text","has","owner"]])", variables));
}

TEST_CASE("only variables of the body are asked for in the body, and only they are lists") {
  struct Body final : MapVariables {
    bool find_in_body(std::string_view name, std::string_view* value) override {
      *value = name;
      return true;
    }
  } body;
  body.lists["arg_a"] = body.lists["post_arg.a"] = {"x"};
  WithRegex regex;
  auto holds_for_body = [&](std::string_view json) { return compile_json(json).value()->evaluate(body); };
  CHECK(holds_for_body(R"([["post_arg_a","==","post_arg_a"]])"));
  CHECK(holds_for_body(R"([["post_arg.a.b","~~","^post_arg.a.b$"]])"));
  CHECK(holds_for_body(R"([["graphql_name","in",["graphql_name"]]])"));
  CHECK_FALSE(holds_for_body(R"([["post_args","~~",".*"]])"));
  CHECK(holds_for_body(R"([["post_arg.a","has","x"]])"));
  CHECK_FALSE(holds_for_body(R"([["arg_a","has","x"]])"));
}

TEST_CASE("ipmatch takes an address, a network or a list of them") {
  CHECK(holds(R"([["remote_addr","ipmatch","10.0.0.0/8"]])", {{"remote_addr", "10.2.3.4"}}));
  CHECK(holds(R"([["remote_addr","IPMATCH",["127.0.0.1","::1"]]])", {{"remote_addr", "::1"}}));
  CHECK_FALSE(holds(R"([["remote_addr","ipmatch",["127.0.0.1"]]])", {{"remote_addr", "127.0.0.2"}}));
  CHECK_FALSE(holds(R"([["remote_addr","ipmatch","0.0.0.0/0"]])", {{"remote_addr", "nobody"}}));
  CHECK_FALSE(holds(R"([["remote_addr","ipmatch","0.0.0.0/0"]])"));
}

TEST_CASE("! turns a comparison round") {
  CHECK_FALSE(holds(R"([["a","!","==","x"]])", {{"a", "x"}}));
  CHECK(holds(R"([["a","!","in",["x"]]])", {{"a", "y"}}));
  CHECK(holds(R"([["a","!","<",3]])", {{"a", "no number"}}));
}

TEST_CASE("two items mean equality") {
  CHECK(holds(R"([["a","Rose"]])", {{"a", "Rose"}}));
  CHECK(holds(R"([["a",5]])", {{"a", "5"}}));
  CHECK_FALSE(holds(R"([["a","Rose"]])", {{"a", "rose"}}));
}

TEST_CASE("a list of rules is their conjunction") {
  CHECK(holds(R"([["a","==","1"],["b","==","2"]])", {{"a", "1"}, {"b", "2"}}));
  CHECK_FALSE(holds(R"([["a","==","1"],["b","==","2"]])", {{"a", "1"}}));
}

TEST_CASE("AND, OR, !AND and !OR join rules, in any case and nested") {
  const MapVariables one{{"a", "1"}};
  const MapVariables both{{"a", "1"}, {"b", "2"}};
  CHECK(holds(R"(["OR",["a","==","1"],["b","==","2"]])", one));
  CHECK_FALSE(holds(R"(["OR",["a","==","1"],["b","==","2"]])"));
  CHECK_FALSE(holds(R"(["and",["a","==","1"],["b","==","2"]])", one));
  CHECK(holds(R"(["AND",["a","==","1"],["b","==","2"]])", both));
  CHECK(holds(R"(["!And",["a","==","1"],["b","==","2"]])", one));
  CHECK_FALSE(holds(R"(["!AND",["a","==","1"],["b","==","2"]])", both));
  CHECK_FALSE(holds(R"(["!OR",["a","==","1"],["b","==","2"]])", one));
  CHECK(holds(R"(["!or",["a","==","1"],["b","==","2"]])"));
  CHECK(holds(R"([["a","==","1"],["OR",["b","==","9"],["!OR",["c","==","1"],["d","==","1"]]]])", both));
  CHECK(holds(R"(["AND",["a","==","1"],[["b","==","2"],["c","==",null]]])", both));
}

TEST_CASE("errors have the known texts") {
  CHECK(error_of(R"(["a","==","1"])") == "rule should be wrapped inside brackets");
  CHECK(error_of(R"("a")") == "rule should be wrapped inside brackets");
  CHECK(error_of(R"({"a":1})") == "rule should be wrapped inside brackets");
  CHECK(error_of(R"([5])") == "rule should be wrapped inside brackets");
  CHECK(error_of(R"([[]])") == "rule too short");
  CHECK(error_of(R"(["OR"])") == "rule too short");
  CHECK(error_of(R"(["OR",["a","==","1"]])") == "rule too short");
  CHECK(error_of(R"([["AND",["a","==","1"]]])") == "rule too short");
  CHECK(error_of(R"([["a","not","==","1"]])") == "bad 'not' expression");
  CHECK(error_of(R"([["a"]])") == "invalid expression");
  CHECK(error_of(R"([["a","=="]])") == "invalid expression");
  CHECK(error_of(R"([["a",null]])") == "invalid expression");
  CHECK(error_of(R"([["a",5,6]])") == "invalid expression");
  CHECK(error_of(R"([[7,"==","1"]])") == "invalid expression");
  CHECK(error_of(R"([["a","==","1","2","3"]])") == "invalid expression");
  CHECK(error_of(R"([["a","==","1"],"b"])") == "invalid expression");
  CHECK(error_of(R"([["a","~~",true]])") == "invalid expression");
  CHECK(error_of(R"([["a","ipmatch",5]])") == "invalid expression");
  CHECK(error_of(R"([["a","=","1"]])") == "invalid operator '='");
  CHECK(error_of(R"([["a","!","LIKE","1"]])") == "invalid operator 'like'");
  CHECK(error_of(R"([["a","!","=="]])") == "invalid operator '!'");
  CHECK(error_of(R"([["a","ipmatch",["10.0.0.1","x"]]])") == "invalid ip address: x");
}

TEST_CASE("a pattern that does not compile is an error, and so is having no engine") {
  CHECK(error_of(R"([["a","~~","("]])").rfind("invalid regular expression '(': ", 0) == 0);
  auto expression = compile_json(R"([["a","~~","x"]])");
  REQUIRE_FALSE(expression.ok());
  CHECK(expression.error().detail == "no regular expression engine is installed");
}

TEST_CASE("nesting is limited") {
  auto nested = [](int depth) {
    std::string text = R"(["a","==","1"])";
    for (int i = 1; i < depth; i++) text = "[" + text + "]";
    return text;
  };
  CHECK(error_of(nested(32)) == "");
  CHECK(error_of(nested(33)) == "invalid expression: nested deeper than 32 levels");
}

TEST_CASE("numbers are read as Lua reads them") {
  const std::pair<const char*, double> kNumbers[] = {
      {"12", 12},    {" 12\t", 12},       {"0x10", 16},      {"0b11", 3},         {"1e3", 1000},
      {"5.", 5},     {".5", 0.5},         {"+5", 5},         {"-0x10", -16},      {"0x1p4", 16},
      {"0x.8", 0.5}, {"1e999", INFINITY}, {"inf", INFINITY}, {"-Inf", -INFINITY}, {"infinity", INFINITY},
      {"1e-999", 0}};
  for (const auto& [text, number] : kNumbers) {
    INFO(text);
    REQUIRE(parse_lua_number(text).has_value());
    CHECK(*parse_lua_number(text) == number);
  }
  for (std::string_view text : {"", " ", "1e", "- 5", "--5", "+-5", "1_0", "0x", "0b", "0b2", ".", "12LL",
                                "0xinf", "nan(1)", "1 2", "x"}) {
    INFO(text);
    CHECK_FALSE(parse_lua_number(text).has_value());
  }
  CHECK_FALSE(parse_lua_number(std::string_view("1\0", 2)).has_value());
}
