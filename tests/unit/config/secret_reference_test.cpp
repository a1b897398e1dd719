// SPDX-License-Identifier: Apache-2.0
// What references to secrets stand for, and how it is said that one stands for nothing.
#include "config/secret_reference.h"

#include <catch2/catch.hpp>

#include "base/json.h"

using namespace moongate::config;
using moongate::base::parse_json;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

const Environment kEnvironment = [](const std::string& name) -> std::optional<std::string> {
  if (name == "KEY") return "s3cret";
  if (name == "JSON") return R"({"a": "one", "n": 7, "nothing": null})";
  if (name == "SLY") return "$env://KEY";
  return std::nullopt;
};

std::string fault_of(const std::string& text) {
  const auto resolved = resolve_reference(text, kEnvironment);
  REQUIRE_FALSE(resolved.ok());
  return resolved.error().detail;
}

}  // namespace

TEST_CASE("a reference stands for a variable, or for a member of the object in it") {
  CHECK(resolve_reference("$env://KEY", kEnvironment)->as_string() == "s3cret");
  CHECK(resolve_reference("$ENV://KEY", kEnvironment)->as_string() == "s3cret");
  CHECK(resolve_reference("$env://KEY/", kEnvironment)->as_string() == "s3cret");
  CHECK(resolve_reference("$env://JSON/a", kEnvironment)->as_string() == "one");
  CHECK(resolve_reference("$env://JSON/n", kEnvironment)->as_number() == 7);
}

TEST_CASE("a reference that stands for nothing says what is missing") {
  CHECK(fault_of("$env://NONE").find("NONE is not set") != std::string::npos);
  CHECK(fault_of("$env://").find("names no variable") != std::string::npos);
  CHECK(fault_of("$env:///a").find("names no variable") != std::string::npos);
  CHECK(fault_of("$env://KEY/a").find("no JSON object") != std::string::npos);
  CHECK(fault_of("$env://KEY/a").find("s3cret") == std::string::npos);
  CHECK(fault_of("$env://JSON/b").find("no `b`") != std::string::npos);
  CHECK(fault_of("$env://JSON/nothing").find("no `nothing`") != std::string::npos);
  CHECK(fault_of("$secret://vault/1/a").find("secret managers") != std::string::npos);
}

TEST_CASE("only texts that begin with a reference are references") {
  for (const char* text : {"$env:/KEY", "x$env://KEY", "env://KEY", "$SECRET://a", "$", "", "${KEY}"}) {
    INFO(text);
    CHECK_FALSE(is_reference(text));
  }
}

TEST_CASE("references are replaced wherever they are, once, and a fault names the way to it") {
  Value value = parse_json(R"({"a": ["$env://KEY", {"b": "$env://SLY"}], "$env://KEY": 1})").take();
  CHECK_FALSE(resolve_references(value, kEnvironment));
  CHECK(to_json(value) == R"({"a":["s3cret",{"b":"$env://KEY"}],"$env://KEY":1})");
  Value bad = parse_json(R"({"a": [1, {"b": "$env://NONE"}]})").take();
  const auto fault = resolve_references(bad, kEnvironment);
  REQUIRE(fault);
  CHECK(fault->path == std::vector<std::string>{"a", "1", "b"});
}

TEST_CASE("JSON without references stays as it is, byte for byte") {
  CHECK(*resolve_json(R"({"b": 1,  "a": "x"})") == R"({"b": 1,  "a": "x"})");
  CHECK(resolve_json(R"({"a": ["$env://MOONGATE_IS_NOT_SET"]})").error().detail.starts_with(".a[0]: "));
}

TEST_CASE("a reference to a manager stays where plugins have it, and must be well formed") {
  for (const char* text : {"$secret://vault/1/a/b", "$secret://vault/1/deep/er/b"}) {
    INFO(text);
    Value value = Value::string(text);
    CHECK_FALSE(resolve_references(value, kEnvironment));
    CHECK(value.as_string() == text);
    CHECK(manager_of(text) == "vault/1");
    const auto fault = resolve_references(value, kEnvironment, Managed::kRefused);
    REQUIRE(fault);
    CHECK(fault->what.find("only plugins can use secret managers") != std::string::npos);
  }
  for (const char* text :
       {"$secret://", "$secret://vault", "$secret://vault/1", "$secret://vault/1/a", "$secret://vault/1//b",
        "$secret://vault/1/a/", "$secret://vault/1/../b", "$secret://aws/1/a/b", "$secret://x/1/a/b"}) {
    INFO(text);
    Value value = Value::string(text);
    CHECK(resolve_references(value, kEnvironment));
  }
}
