// SPDX-License-Identifier: Apache-2.0
// Response heads: what follows them, and which cannot be trusted.
#include <catch2/catch.hpp>
#include <string>

#include "http/head.h"

using namespace moongate;
using http::BodyKind;
using http::Method;
using namespace std::string_literals;

namespace {

struct Parsed {
  explicit Parsed(std::string text, Method method = Method::kGet) : bytes(std::move(text)), head(&arena) {
    is_accepted = http::parse_response_head(bytes, {}, method, &head, &reason);
  }
  std::string bytes;
  base::Arena arena;
  http::ResponseHead head;
  std::string_view reason;
  bool is_accepted;
};

std::string response(const std::string& line, const std::string& fields = "") {
  return line + "\r\n" + fields + "\r\n";
}
std::string ok(const std::string& fields) { return response("HTTP/1.1 200 OK", fields); }

}  // namespace

TEST_CASE("a response head is taken apart") {
  const Parsed p(response("HTTP/1.1 404 Not  Found \xc3\xa9", "Content-Length: 9\r\nA: b\r\n"));
  REQUIRE(p.is_accepted);
  CHECK(p.head.status == 404);
  CHECK(p.head.reason == "Not  Found \xc3\xa9");
  CHECK(p.head.body == BodyKind::kLength);
  CHECK(p.head.content_length == 9);
  CHECK(p.head.is_keep_alive);
  CHECK(p.head.fields.count() == 2);
}

TEST_CASE("the reason may be missing, with or without its space") {
  for (const char* line : {"HTTP/1.1 200", "HTTP/1.1 200 "}) {
    const Parsed p(response(line));
    REQUIRE(p.is_accepted);
    CHECK(p.head.status == 200);
    CHECK(p.head.reason.empty());
  }
  CHECK(Parsed(response("HTTP/1.1 999 X")).head.status == 999);
}

TEST_CASE("a response body is framed by method, status and fields") {
  CHECK(Parsed(ok("Transfer-Encoding: chunked\r\n")).head.body == BodyKind::kChunked);
  CHECK(Parsed(ok("Content-Length: 0\r\n")).head.body == BodyKind::kLength);
  CHECK(Parsed(ok("Content-Length: 007\r\n")).head.content_length == 7);
  const Parsed until_close(ok(""));
  CHECK(until_close.head.body == BodyKind::kUntilClose);
  CHECK_FALSE(until_close.head.is_keep_alive);
  CHECK(Parsed(ok("Content-Length: 5\r\n"), Method::kHead).head.body == BodyKind::kNone);
  CHECK(Parsed(ok("Content-Length: 5\r\n"), Method::kHead).head.is_keep_alive);
  CHECK(Parsed(ok("Transfer-Encoding: chunked\r\n"), Method::kHead).head.body == BodyKind::kNone);
  CHECK(Parsed(response("HTTP/1.1 304 X", "Content-Length: 5\r\n")).head.body == BodyKind::kNone);
  CHECK(Parsed(response("HTTP/1.1 304 X", "Content-Length: 5\r\n")).head.is_keep_alive);
  CHECK(Parsed(response("HTTP/1.1 204 X")).head.body == BodyKind::kNone);
  CHECK(Parsed(response("HTTP/1.1 204 X")).head.is_keep_alive);
  CHECK(Parsed(response("HTTP/1.1 100 Continue")).head.body == BodyKind::kNone);
}

TEST_CASE("a 204 that announces a body is the connection's last") {
  for (const char* field : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    const Parsed p(response("HTTP/1.1 204 X", field));
    REQUIRE(p.is_accepted);
    CHECK(p.head.body == BodyKind::kNone);
    CHECK_FALSE(p.head.is_keep_alive);
  }
}

TEST_CASE("an upstream connection is kept by version and Connection") {
  CHECK_FALSE(Parsed(ok("Content-Length: 0\r\nConnection: close\r\n")).head.is_keep_alive);
  CHECK_FALSE(Parsed(response("HTTP/1.0 200 OK", "Content-Length: 0\r\n")).head.is_keep_alive);
  CHECK(Parsed(response("HTTP/1.0 200 OK", "Content-Length: 0\r\nConnection: keep-alive\r\n"))
            .head.is_keep_alive);
  CHECK(Parsed(response("HTTP/1.1 101 X", "Connection: Upgrade\r\nUpgrade: websocket\r\n")).head.has_upgrade);
  CHECK_FALSE(Parsed(response("HTTP/1.1 101 X", "Upgrade: websocket\r\n")).head.has_upgrade);
}

TEST_CASE("a response head that cannot be trusted is refused") {
  const std::string rows[] = {"\r\n\r\n",
                              "HTTP/1.1\r\n\r\n",
                              response("HTTP/2 200"),
                              response("HTTP/1.2 200 OK"),
                              response("http/1.1 200 OK"),
                              response("ICY 200 OK"),
                              response("HTTP/1.1  200 OK"),
                              response("HTTP/1.1 20 OK"),
                              response("HTTP/1.1 2000 OK"),
                              response("HTTP/1.1 2x0 OK"),
                              response("HTTP/1.1 099 OK"),
                              response("HTTP/1.1 -20 OK"),
                              response("HTTP/1.1 200\tOK"),
                              response("HTTP/1.1 200 O\rK"),
                              response("HTTP/1.1 200 O\0K"s),
                              "HTTP/1.1 200 OK\nA: b\r\n\r\n",
                              "HTTP/1.1 200 OK\r\nA: b\n\r\n",
                              "HTTP/1.1 200 OK\r\nA: b\r\n",
                              ok("A: b\r\n c\r\n"),
                              ok("A : b\r\n"),
                              ok("A: \0\r\n"s),
                              ok(": b\r\n"),
                              ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
                              ok("Content-Length: 5\r\nContent-Length: 5\r\n"),
                              ok("Content-Length: 5, 5\r\n"),
                              ok("Content-Length: \r\n"),
                              ok("Content-Length: 9223372036854775808\r\n"),
                              ok("Transfer-Encoding: gzip\r\n"),
                              ok("Transfer-Encoding: gzip, chunked\r\n"),
                              ok("Transfer-Encoding: xchunked\r\n"),
                              ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
                              response("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n"),
                              response("HTTP/1.1 100 X", "Content-Length: 5\r\n"),
                              response("HTTP/1.1 101 X", "Transfer-Encoding: chunked\r\n")};
  for (const std::string& bytes : rows) {
    const Parsed p(bytes);
    INFO(bytes);
    CHECK_FALSE(p.is_accepted);
    CHECK_FALSE(p.reason.empty());
  }
}
