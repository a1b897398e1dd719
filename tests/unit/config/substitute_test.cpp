// SPDX-License-Identifier: Apache-2.0
#include "config/substitute.h"

#include <catch2/catch.hpp>

#include "config_fixture.h"

using namespace moongate::config;

namespace {

const Environment kEnvironment =
    environment_of({{"HOST", "example.com"}, {"EMPTY", ""}, {"SLY", "${HOST}"}, {"low", "x"}});

std::string replaced(std::string_view text) {
  const auto result = substitute(text, kEnvironment);
  return result ? result->text : "error: " + result.error().detail;
}

}  // namespace

TEST_CASE("variables are replaced in both spellings") {
  CHECK(replaced("${HOST}") == "example.com");
  CHECK(replaced("http://${HOST}:80/${{HOST}}") == "http://example.com:80/example.com");
  CHECK(replaced("${{ HOST }}") == "example.com");
  CHECK(replaced("${{low}}") == "x");
  CHECK(replaced("[${EMPTY}]") == "[]");
}

TEST_CASE("a default stands in for a variable that is not set") {
  CHECK(replaced("${NONE:-a b}") == "a b");
  CHECK(replaced("${NONE:-}") == "");
  CHECK(replaced("${{NONE:=80}}") == "80");
  CHECK(replaced("${HOST:-other}") == "example.com");
  CHECK(replaced("${none:-small}") == "small");
}

TEST_CASE("a variable that is not set and has no default is an error that says what to do") {
  const auto result = substitute("x ${NONE} y", kEnvironment);
  REQUIRE_FALSE(result);
  CHECK(result.error().detail ==
        "the environment variable NONE is not set; set it, give a default (${NONE:-...}), or write $${NONE} "
        "for the text itself");
  CHECK_FALSE(substitute("${{none}}", kEnvironment));
}

TEST_CASE("what is not a reference to the environment stays as it is") {
  for (const char* text :
       {"$", "$$", "$1", "$remote_addr", "${remote_addr}", "$secret://vault/1/x", "$env://HOME", "${", "${}",
        "${A", "${A B}", "${{A}", "${1}", "a$b", "$host$uri", "${HOST:+x}"}) {
    INFO(text);
    CHECK(replaced(text) == text);
  }
}

TEST_CASE("an escaped reference becomes the text itself, and values are not looked into again") {
  CHECK(replaced("$${HOST}") == "${HOST}");
  CHECK(replaced("$${HOST} ${HOST}") == "${HOST} example.com");
  CHECK(replaced("${SLY}") == "${HOST}");
}

TEST_CASE("only a text that is nothing but one reference is whole") {
  CHECK(substitute("${HOST}", kEnvironment)->is_whole);
  CHECK_FALSE(substitute("${HOST}x", kEnvironment)->is_whole);
  CHECK_FALSE(substitute("x${HOST}", kEnvironment)->is_whole);
  CHECK_FALSE(substitute("${HOST}${HOST}", kEnvironment)->is_whole);
}
