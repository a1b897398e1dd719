// SPDX-License-Identifier: Apache-2.0
// What one pattern matches and captures, without an index around it.
#include "router/path_pattern.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

using namespace moongate::router;

namespace {

/// "no", or "yes" and the captures.
std::string hold(std::string_view pattern, std::string_view path, bool has_parameters = true) {
  REQUIRE(check_pattern(pattern, has_parameters).ok());
  PatternReader reader(pattern, has_parameters);
  PatternElement element;
  std::vector<PatternElement> elements;
  while (reader.next(&element)) elements.push_back(element);
  Capture captures[kCapturesMax];
  if (!match_elements(elements, path, captures)) return "no";
  std::string text = "yes";
  for (const PatternElement& one : elements) {
    if (!one.is_captured) continue;
    text.append(" ").append(captures[one.capture].name).append("=").append(captures[one.capture].value);
  }
  return text;
}

}  // namespace

TEST_CASE("a pattern without wildcards matches itself only") {
  CHECK(hold("/a", "/a") == "yes");
  CHECK(hold("/a", "/a/") == "no");
  CHECK(hold("/a", "/A") == "no");
  CHECK(hold("/a", "") == "no");
}

TEST_CASE("a star at the end is a prefix, captured when it is a whole segment") {
  CHECK(hold("/a/*", "/a/") == "yes :ext=");
  CHECK(hold("/a/*", "/a/b/c") == "yes :ext=b/c");
  CHECK(hold("/a/*", "/a") == "no");
  CHECK(hold("/a*", "/a") == "yes");
  CHECK(hold("/a*", "/abc/d") == "yes");
  CHECK(hold("*", "/x") == "yes :ext=/x");
}

TEST_CASE("a star in the middle takes any characters, as many as it can") {
  for (bool has_parameters : {false, true}) {
    CHECK(hold("/a/*/b", "/a/x/y/b", has_parameters) == "yes :ext=x/y");
    CHECK(hold("/a/*/b", "/a/b", has_parameters) == "no");
    CHECK(hold("/a/*/b", "/a//b", has_parameters) == "yes :ext=");
    CHECK(hold("/a/*/b", "/a/x/b/c", has_parameters) == "no");
    CHECK(hold("/a/*/b/*", "/a/1/b/2/b/3", has_parameters) == "yes :ext=1/b/2 :ext=3");
    CHECK(hold("/a/x*y/b", "/a/x1/2y/b", has_parameters) == "yes");
    CHECK(hold("/a/*/b", "/a/line\nfeed/b", has_parameters) == "yes :ext=line\nfeed");
  }
}

TEST_CASE("a parameter is one segment that is not empty") {
  CHECK(hold("/u/:name", "/u/ann") == "yes name=ann");
  CHECK(hold("/u/:name", "/u/") == "no");
  CHECK(hold("/u/:name", "/u/ann/x") == "no");
  CHECK(hold("/u/:name", "/u/ann/") == "no");
  CHECK(hold("/u/:name/posts/:post", "/u/ann/posts/7") == "yes name=ann post=7");
  CHECK(hold("/:a/:b", "/1/2") == "yes a=1 b=2");
  CHECK(hold("/u/:name/", "/u/ann/") == "yes name=ann");
}

TEST_CASE("a named star takes the rest") {
  CHECK(hold("/u/*rest", "/u/a/b") == "yes rest=a/b");
  CHECK(hold("/u/*rest/edit", "/u/a/b/edit") == "yes rest=a/b");
  CHECK(hold("/:v/*rest/:id", "/1/a/b/c") == "yes v=1 rest=a/b id=c");
  CHECK(hold("/*x/:id/mid/:end", "/a/b/mid/c/mid/d") == "yes x=a/b/mid id=c end=d");
}

TEST_CASE("without parameters, names mean nothing") {
  CHECK(hold("/u/:name", "/u/ann", false) == "no");
  CHECK(hold("/u/:name", "/u/:name", false) == "yes");
  CHECK(hold("/u/*rest", "/u/a/the-rest", false) == "yes");
  CHECK(hold("/u/*rest", "/u/a", false) == "no");
}

TEST_CASE("a colon inside a segment and signs of regular expressions are plain characters") {
  CHECK(hold("/v1/users:batch", "/v1/users:batch") == "yes");
  CHECK(hold("/v1/users:batch", "/v1/usersX") == "no");
  CHECK(hold("/a/*/b.c", "/a/x/bxc") == "no");
  CHECK(hold("/a/*/(b)+", "/a/x/(b)+") == "yes :ext=x");
}

TEST_CASE("patterns over the limits are refused") {
  CHECK(check_pattern("", true).error().detail == "uri is empty");
  CHECK(check_pattern("/" + std::string(4096, 'a'), true).error().detail == "uri is longer than 4096 bytes");
  std::string many;
  for (int i = 0; i < 16; i++) many += "/:p";
  CHECK(check_pattern(many, true).ok());
  CHECK(check_pattern(many + "/:p", true).error().detail ==
        "uri '" + many + "/:p' has more than 16 parameters");
  CHECK(check_pattern(many + "/:p", false).ok());
}

TEST_CASE("many stars do not make matching slow") {
  std::string pattern;
  for (int i = 0; i < 1000; i++) pattern += "/a*";
  std::string path;
  for (int i = 0; i < 10000; i++) path += "/aa";
  auto start = std::chrono::steady_clock::now();
  CHECK(hold(pattern, path) == "yes");
  CHECK(hold(pattern + "b", path) == "no");
  CHECK(hold("/b" + pattern, path) == "no");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
}
