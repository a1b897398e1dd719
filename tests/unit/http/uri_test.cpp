// SPDX-License-Identifier: Apache-2.0
// One canonical form per target. Each accepted spelling is also read back: the encoding sent upstream and the
// path handed back by a plugin must both give the same path again.
#include "http/uri.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

using namespace moongate;
using http::CanonicalUri;
using http::UriPolicy;
using Slash = UriPolicy::EncodedSlash;
using Parameters = UriPolicy::PathParameters;
using namespace std::string_literals;

namespace {

const std::string kRefused = "(refused)";

struct Spelled {
  std::string path;
  std::string wire;
};

void check_round_trips(const CanonicalUri& uri, const UriPolicy& policy, base::Arena* arena) {
  CanonicalUri again;
  std::string_view reason;
  INFO("path " << uri.path << " wire " << uri.wire_path);
  REQUIRE(http::canonicalize_target(uri.wire_path, policy, arena, &again, &reason));
  CHECK(again.path == uri.path);
  CHECK(again.wire_path == uri.wire_path);
  REQUIRE(http::canonicalize_path(uri.path, {}, false, policy, arena, &again, &reason));
  CHECK(again.path == uri.path);
  CHECK(again.wire_path == uri.wire_path);
}

Spelled canonicalize(std::string_view target, const UriPolicy& policy = {}) {
  base::Arena arena;
  CanonicalUri uri;
  std::string_view reason;
  if (!http::canonicalize_target(target, policy, &arena, &uri, &reason)) {
    CHECK_FALSE(reason.empty());
    return {kRefused, kRefused};
  }
  check_round_trips(uri, policy, &arena);
  return {std::string(uri.path), std::string(uri.wire_path)};
}

Spelled rewrite(std::string_view path, const UriPolicy& policy = {}) {
  base::Arena arena;
  CanonicalUri uri;
  std::string_view reason;
  if (!http::canonicalize_path(path, {}, false, policy, &arena, &uri, &reason)) return {kRefused, kRefused};
  check_round_trips(uri, policy, &arena);
  return {std::string(uri.path), std::string(uri.wire_path)};
}

UriPolicy slashes(Slash slash) {
  UriPolicy policy;
  policy.encoded_slash = slash;
  return policy;
}
UriPolicy parameters(Parameters choice) {
  UriPolicy policy;
  policy.path_parameters = choice;
  return policy;
}

std::vector<UriPolicy> all_policies() {
  std::vector<UriPolicy> policies;
  for (const Slash slash : {Slash::kRefuse, Slash::kKeep, Slash::kDecode}) {
    for (const Parameters choice : {Parameters::kRefuse, Parameters::kKeep, Parameters::kStrip}) {
      for (const bool merges : {true, false}) policies.push_back({slash, choice, merges});
    }
  }
  return policies;
}

}  // namespace

TEST_CASE("paths are decoded, resolved and encoded in one way") {
  struct Row {
    std::string target, path, wire;
  };
  const Row rows[] = {{"/", "/", "/"},
                      {"/a/b.c", "/a/b.c", "/a/b.c"},
                      {"/%61%2D%7e", "/a-~", "/a-~"},
                      {"/a%20b", "/a b", "/a%20b"},
                      {"/a+b", "/a+b", "/a+b"},
                      {"/a%2Bb", "/a+b", "/a+b"},
                      {"/a%3Fb", "/a?b", "/a%3Fb"},
                      {"/a%23b", "/a#b", "/a%23b"},
                      {"/\xc3\xa9", "/\xc3\xa9", "/%C3%A9"},
                      {"/%c3%a9", "/\xc3\xa9", "/%C3%A9"},
                      {"/\"<>[]^`{|}", "/\"<>[]^`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"},
                      {"/100%25", "/100%", "/100%25"},
                      {"/%2541", "/%41", "/%2541"},
                      {"/%252e%252e/", "/%2e%2e/", "/%252e%252e/"},
                      {"//a///b//", "/a/b/", "/a/b/"},
                      {"/a/./b", "/a/b", "/a/b"},
                      {"/a/../b", "/b", "/b"},
                      {"/a/b/..", "/a/", "/a/"},
                      {"/a/.", "/a/", "/a/"},
                      {"/.", "/", "/"},
                      {"/a/..", "/", "/"},
                      {"/a/%2e%2E/b", "/b", "/b"},
                      {"/a/.%2e/b", "/b", "/b"},
                      {"/a//../b", "/b", "/b"},
                      {"/...", "/...", "/..."},
                      {"/..a/.b", "/..a/.b", "/..a/.b"},
                      {"/.well-known/x", "/.well-known/x", "/.well-known/x"},
                      {"http://a.example", "/", "/"},
                      {"http://a.example/x/../y", "/y", "/y"},
                      {"/a%0Ab", "/a%0Ab", "/a%0Ab"},
                      {"/a%0d%09", "/a%0D%09", "/a%0D%09"},
                      {"/a%250Ab", "/a%250Ab", "/a%250Ab"},
                      {"/a%25250Ab", "/a%25250Ab", "/a%25250Ab"},
                      {"/%25%30%61", "/%250a", "/%250a"}};
  for (const Row& row : rows) {
    INFO(row.target);
    const Spelled got = canonicalize(row.target);
    CHECK(got.path == row.path);
    CHECK(got.wire == row.wire);
  }
}

TEST_CASE("spellings that servers disagree on are refused by default") {
  const std::string targets[] = {
      "",       "a",       "a/b",      "ftp://a/",   "http://",   "http:///a", "http://u@a/", "http://a:x/",
      "/../a",  "/..",     "/a/../..", "/a/../../b", "/%2e%2e/a", "//../a",    "/./../a",     "/a%2Fb",
      "/a%2fb", "/..%2fa", "/a\\b",    "/a%5Cb",     "/a%5cb",    "/..\\a",    "/a;b",        "/a%3Bb",
      "/..;/a", "/a%00b",  "/a%00",    "/a%01b",     "/a%1Fb",    "/a%7Fb",    "/a%",         "/a%4",
      "/a%zz",  "/a%4g",   "/a%%41",   "/a b",       "/a\tb",     "/a\nb",     "/a\x7f",      "/a\0b"s,
      "/a#b",   "/a?b#c",  "/a?b c",   "/a?b\r\nc",  "/a?\0"s,    "#",         "?",           "?a"};
  for (const std::string& target : targets) {
    INFO(target);
    CHECK(canonicalize(target).path == kRefused);
  }
}

TEST_CASE("no policy lets a dot segment, a NUL or a backslash through") {
  const std::string targets[] = {
      "/../a",          "/a/%2e%2e/../b", "/..;x/a", "/a/..;/b", "/.;x/a", "/..%3Bx/a", "/..%2Fa%2F..%2F..",
      "/..%2fa",        "/%2e%2e%2fa",    "/a%00",   "/a%5cb",   "/a\\b",  "/a%7f",     "/a%",
      "/x/..;%2f..%2f/"};
  for (const UriPolicy& policy : all_policies()) {
    for (const std::string& target : targets) {
      INFO(target);
      CHECK(canonicalize(target, policy).path == kRefused);
    }
  }
}

TEST_CASE("an encoded slash is kept or decoded for matchers and upstream alike") {
  const UriPolicy keep = slashes(Slash::kKeep);
  CHECK(canonicalize("/a%2fb", keep).path == "/a%2Fb");
  CHECK(canonicalize("/a%2fb", keep).wire == "/a%2Fb");
  CHECK(canonicalize("/a%252fb", keep).path == "/a%252fb");
  CHECK(canonicalize("/a%252fb", keep).wire == "/a%252fb");
  CHECK(canonicalize("/100%25", keep).path == "/100%25");
  CHECK(canonicalize("/a%2F%2Fb", keep).path == "/a%2F%2Fb");
  CHECK(canonicalize("/a%2F..%2Fb", keep).path == kRefused);
  CHECK(canonicalize("/a%2F.", keep).path == kRefused);
  const UriPolicy decode = slashes(Slash::kDecode);
  CHECK(canonicalize("/a%2fb", decode).wire == "/a/b");
  CHECK(canonicalize("/a%2f..%2Fb", decode).path == "/b");
  CHECK(canonicalize("/a%2f/b", decode).path == "/a/b");
  CHECK(canonicalize("/a%2f..%2f..", decode).path == kRefused);
}

TEST_CASE("path parameters are kept or stripped for matchers and upstream alike") {
  const UriPolicy keep = parameters(Parameters::kKeep);
  CHECK(canonicalize("/a;x=1/b", keep).path == "/a;x=1/b");
  CHECK(canonicalize("/a%3Bx=1/b", keep).wire == "/a;x=1/b");
  const UriPolicy strip = parameters(Parameters::kStrip);
  CHECK(canonicalize("/a;x=1;y/b;z", strip).path == "/a/b");
  CHECK(canonicalize("/a;x%41/../b", strip).wire == "/b");
  CHECK(canonicalize("/;x/a", strip).path == "/a");
  CHECK(canonicalize("/a;%zz/b", strip).path == kRefused);
  CHECK(canonicalize("/a;\\/b", strip).path == kRefused);
  CHECK(canonicalize("/a%3Bx/b", strip).path == "/a;x/b");
  CHECK(canonicalize("/a%3Bx/b", strip).wire == "/a%3Bx/b");
  UriPolicy both = strip;
  both.encoded_slash = Slash::kDecode;
  CHECK(canonicalize("/a;x%2fb", both).path == "/a/b");
}

TEST_CASE("slashes stay apart when the policy says so") {
  UriPolicy policy;
  policy.merge_slashes = false;
  CHECK(canonicalize("//a//b//", policy).wire == "//a//b//");
  CHECK(canonicalize("/a//../b", policy).path == "/a/b");
  CHECK(canonicalize("//..", policy).path == "/");
  CHECK(canonicalize("//../..", policy).path == kRefused);
}

TEST_CASE("what a path may not keep is found at every place") {
  // Between "/x/b..." and "/e...".
  const std::pair<const char*, const char*> rows[] = {{"/", "/"},       {"//", "/"},    {"/./", "/"},
                                                      {"/%2e/", "/"},   {"/%61", "/a"}, {"/.a/", "/.a/"},
                                                      {"/a./", "/a./"}, {"~@:", "~@:"}};
  for (const auto& [written, meant] : rows) {
    for (size_t before = 1; before < 40; ++before) {
      const std::string begin = "/x/" + std::string(before, 'b');
      for (size_t behind = 1; behind < 40; ++behind) {
        const std::string end(behind, 'e');
        const std::string path = canonicalize(begin + written + end).path;
        if (path != begin + meant + end) FAIL_CHECK(begin + written + end << " became " << path);
      }
    }
  }
  for (size_t before = 1; before < 40; ++before) {
    const std::string begin = "/x/" + std::string(before, 'b');
    CHECK(canonicalize(begin + "/..").path == "/x/");
    CHECK(canonicalize(begin + "/../../y").path == "/y");
    CHECK(canonicalize(begin + "/../../..").path == kRefused);
  }
}

TEST_CASE("a path text and its encoding determine each other") {
  // Every word of up to three pieces that could be confused with one another, under every policy.
  const std::string pieces[] = {"a",   "%25", "25",  "0A", "0a", "%0A", "%0a", "2F", "%2F",
                                "%2f", ".",   "%2e", "/",  ";",  "%3B", "%09", "%"};
  for (const UriPolicy& policy : all_policies()) {
    std::map<std::string, std::string> wire_by_path;
    std::map<std::string, std::string> path_by_wire;
    const auto visit = [&](const std::string& target) {
      const Spelled got = canonicalize(target, policy);
      if (got.path == kRefused) return;
      const auto by_path = wire_by_path.emplace(got.path, got.wire).first;
      const auto by_wire = path_by_wire.emplace(got.wire, got.path).first;
      if (by_path->second != got.wire || by_wire->second != got.path) FAIL(target << " has two readings");
    };
    for (const std::string& a : pieces) {
      for (const std::string& b : pieces) {
        for (const std::string& c : pieces) visit("/" + a + b + c);
      }
    }
    CHECK(wire_by_path.size() == path_by_wire.size());
  }
}

TEST_CASE("a rewritten path is decoded text") {
  CHECK(rewrite("/a b").wire == "/a%20b");
  CHECK(rewrite("/100%").wire == "/100%25");
  CHECK(rewrite("/%41").wire == "/%2541");
  CHECK(rewrite("/100%25").wire == "/100%2525");
  CHECK(rewrite("/a%2Fb").wire == "/a%252Fb");
  CHECK(rewrite("/a?b").wire == "/a%3Fb");
  CHECK(rewrite("/a\nb").path == "/a%0Ab");
  CHECK(rewrite("/a//b/../c").path == "/a/c");
  CHECK(rewrite("/a%2Fb", slashes(Slash::kKeep)).wire == "/a%2Fb");
  CHECK(rewrite("/a;b", parameters(Parameters::kKeep)).wire == "/a;b");
  CHECK(rewrite("/a;b", parameters(Parameters::kStrip)).wire == "/a%3Bb");
  for (const std::string& path :
       {""s, "a"s, "/.."s, "/a\\b"s, "/a\0"s, "/a\x01"s, "/a\x7f"s, "/a;b"s, "*"s}) {
    INFO(path);
    CHECK(rewrite(path).path == kRefused);
  }
}

TEST_CASE("the query is kept as received") {
  base::Arena arena;
  CanonicalUri uri;
  std::string_view reason;
  REQUIRE(http::canonicalize_target("/a/../b?c=/../%zz?\\;\xff", {}, &arena, &uri, &reason));
  CHECK(uri.path == "/b");
  CHECK(uri.has_query);
  CHECK(uri.query == "c=/../%zz?\\;\xff");
  REQUIRE(http::canonicalize_target("/a?", {}, &arena, &uri, &reason));
  CHECK(uri.has_query);
  CHECK(uri.query.empty());
  REQUIRE(http::canonicalize_target("/a", {}, &arena, &uri, &reason));
  CHECK_FALSE(uri.has_query);
  REQUIRE(http::canonicalize_target("https://a.example:1?q", {}, &arena, &uri, &reason));
  CHECK(uri.authority == "a.example:1");
  CHECK(uri.path == "/");
  CHECK(uri.query == "q");
}

TEST_CASE("a rewritten query cannot break the request line") {
  base::Arena arena;
  CanonicalUri uri;
  std::string_view reason;
  for (const char* query : {"a b", "a\r\nX: y", "a#b", "\x7f"}) {
    CHECK_FALSE(http::canonicalize_path("/a", query, true, {}, &arena, &uri, &reason));
  }
  std::string query = "a=1";
  std::string path = "/p";
  REQUIRE(http::canonicalize_path(path, query, true, {}, &arena, &uri, &reason));
  query = path = "xxx";
  CHECK(uri.query == "a=1");
  CHECK(uri.path == "/p");
}

TEST_CASE("an asterisk stays one") {
  base::Arena arena;
  CanonicalUri uri;
  std::string_view reason;
  REQUIRE(http::canonicalize_target("*", {}, &arena, &uri, &reason));
  CHECK(uri.is_asterisk);
  CHECK(uri.path == "*");
  CHECK(uri.wire_path == "*");
  CHECK_FALSE(http::canonicalize_target("**", {}, &arena, &uri, &reason));
}
