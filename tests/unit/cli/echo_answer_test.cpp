// SPDX-License-Identifier: Apache-2.0
#include "cli/echo_answer.h"

#include <catch2/catch.hpp>
#include <string>

#include "base/json.h"

namespace moongate::cli {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

EchoAnswer ask(const std::string& start_line, const std::string& fields = "Host: a.example\r\n",
               std::string_view body = {}) {
  base::Arena arena;
  http::RequestHead head(&arena);
  http::HeadFault fault;
  const std::string bytes = start_line + " HTTP/1.1\r\n" + fields + "\r\n";
  REQUIRE(http::parse_request_head(bytes, {}, &head, &fault));
  return make_echo_answer(head, body, EchoIdentity{"first", 8081});
}

std::string body_of(const EchoAnswer& answer) {
  return answer.bytes.substr(answer.bytes.find("\r\n\r\n") + 4);
}

TEST_CASE("the answer is the request as JSON") {
  const EchoAnswer answer =
      ask("POST /a%20b?x=1&y=%41+b&x=2&flag", "Host: a.example:80\r\nX-A: 1\r\nx-a: 2\r\n", "hello \"you\"");
  CHECK_THAT(answer.bytes,
             StartsWith("HTTP/1.1 200 OK\r\n") && Contains("Content-Type: application/json\r\n"));
  const auto parsed = base::parse_json(body_of(answer));
  REQUIRE(parsed.ok());
  const auto wanted = base::parse_json(
      R"({"method": "POST", "path": "/a%20b", "query": "x=1&y=%41+b&x=2&flag", "host": "a.example:80", "port": 8081,
          "args": {"x": ["1", "2"], "y": "A b", "flag": true}, "headers": {"host": "a.example:80", "x-a": "1, 2"},
          "body": "hello \"you\"", "upstream": "first"})");
  CHECK(*parsed == *wanted);
}

TEST_CASE("an absolute target gives path and query alone") {
  const auto parsed = base::parse_json(body_of(ask("GET http://a.example/p?q=1")));
  REQUIRE(parsed.ok());
  CHECK(parsed->get_string("path") == "/p");
  CHECK(parsed->get_string("query") == "q=1");
}

TEST_CASE("knobs change status, delay, fields and name") {
  const EchoAnswer answer =
      ask("GET /?status=503&delay_ms=50&header=X-A:b%20c&header=Content-Type:text/x&close=1&name=me");
  CHECK(answer.delay == std::chrono::milliseconds(50));
  CHECK(answer.closes);
  CHECK_THAT(answer.bytes, StartsWith("HTTP/1.1 503 ") && Contains("X-A: b c\r\n") &&
                               Contains("Connection: close\r\n") && Contains("Content-Type: text/x\r\n") &&
                               !Contains("Content-Type: application/json"));
  CHECK(base::parse_json(body_of(answer))->get_string("name") == "me");
}

TEST_CASE("size asks for filler, chunked for chunks") {
  const EchoAnswer plain = ask("GET /?size=100000");
  CHECK_THAT(plain.bytes, Contains("Content-Length: 100000\r\n") && EndsWith("\r\n\r\n"));
  CHECK(plain.filler_size == 100000);
  CHECK_FALSE(plain.is_chunked);
  const EchoAnswer chunked = ask("GET /?size=10&chunked=1");
  CHECK_THAT(chunked.bytes, Contains("Transfer-Encoding: chunked\r\n") && !Contains("Content-Length"));
  CHECK(chunked.is_chunked);
  CHECK_THAT(ask("GET /?size=0&chunked=1").bytes, EndsWith("\r\n\r\n0\r\n\r\n"));
  CHECK_THAT(ask("GET /?chunked=1").bytes, EndsWith("}\n\r\n0\r\n\r\n"));
}

TEST_CASE("knobs out of range are refused by name") {
  for (const char* query :
       {"status=199", "status=600", "status=x", "status=", "delay_ms=60001", "delay_ms=-1", "size=67108865",
        "chunked=yes", "close=2", "header=X", "header=X%0d:1", "header=X:a%0d%0aY:b", "header=:1",
        "header=Content-Length:5", "header=transfer-encoding:chunked"}) {
    const EchoAnswer answer = ask(std::string("GET /?") + query);
    CAPTURE(query);
    CHECK_THAT(answer.bytes, StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(answer.bytes, Contains(std::string(query).substr(0, std::string(query).find('='))));
    CHECK(answer.closes);
  }
}

TEST_CASE("no body where there must be none") {
  CHECK(body_of(ask("HEAD /?size=10")).empty());
  CHECK(ask("HEAD /?size=10").filler_size == 0);
  CHECK_THAT(ask("HEAD /?size=10").bytes, Contains("Content-Length: 10\r\n"));
  CHECK_THAT(ask("GET /?status=204").bytes, !Contains("Content-Length") && EndsWith("\r\n\r\n"));
  CHECK_THAT(ask("GET /?status=304&chunked=1").bytes, !Contains("chunked") && EndsWith("\r\n\r\n"));
}

TEST_CASE("health is plain") {
  CHECK(body_of(ask("GET /health?status=500")) == "ok");
  CHECK(body_of(ask("POST /health")) != "ok");
}

TEST_CASE("a client that closes is told so") {
  CHECK(ask("GET /", "Host: a\r\nConnection: close\r\n").closes);
}

}  // namespace
}  // namespace moongate::cli
