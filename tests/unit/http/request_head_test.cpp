// SPDX-License-Identifier: Apache-2.0
// What the request parser makes of sound heads, and that it refuses every unsound one we know of.
#include <catch2/catch.hpp>
#include <cctype>
#include <string>

#include "http/head.h"

using namespace moongate;
using http::BodyKind;
using namespace std::string_literals;

namespace {

struct Parsed {
  explicit Parsed(std::string text, http::HeadLimits limits = {}) : bytes(std::move(text)), head(&arena) {
    is_accepted = http::parse_request_head(bytes, limits, &head, &fault);
  }
  std::string bytes;
  base::Arena arena;
  http::RequestHead head;
  http::HeadFault fault;
  bool is_accepted;
};

// A request with Host, the given line and further fields.
std::string request(const std::string& line, const std::string& fields = "") {
  return line + "\r\nHost: a.example\r\n" + fields + "\r\n";
}
std::string post(const std::string& fields) { return request("POST / HTTP/1.1", fields); }
std::string get(const std::string& fields) { return request("GET / HTTP/1.1", fields); }

}  // namespace

TEST_CASE("a request head is taken apart") {
  const Parsed p(
      "PATCH /a/b?c=d HTTP/1.1\r\nHost: A.example:80\r\nX_Y:  two words \t\r\nEmpty:\r\nUtf: \xc3\xa9\r\n"
      "Content-Length: 12\r\n\r\n");
  REQUIRE(p.is_accepted);
  CHECK(p.head.method == http::Method::kPatch);
  CHECK(p.head.method_text == "PATCH");
  CHECK(p.head.target == "/a/b?c=d");
  CHECK(p.head.version_minor == 1);
  CHECK(p.head.host == "A.example:80");
  CHECK(p.head.is_keep_alive);
  CHECK(p.head.body == BodyKind::kLength);
  CHECK(p.head.content_length == 12);
  REQUIRE(p.head.fields.count() == 5);
  CHECK(p.head.fields[0].id == http::FieldId::kHost);
  CHECK(p.head.fields[1].name == "X_Y");
  CHECK(p.head.fields[1].value == "two words");
  CHECK(p.head.fields[2].value.empty());
  CHECK(p.head.fields[3].value == "\xc3\xa9");
}

TEST_CASE("names and values of every length around the block size survive") {
  for (size_t length = 1; length < 50; ++length) {
    const std::string name(length, 'N');
    const std::string value(length, 'v');
    const Parsed p(get(name + ":" + value + "\r\n"));
    REQUIRE(p.is_accepted);
    CHECK(p.head.fields[1].name == name);
    CHECK(p.head.fields[1].value == value);
  }
}

TEST_CASE("every byte at every place of names, values and targets is judged alike") {
  const std::string_view marks = "!#$%&'*+-.^_`|~";
  const auto is_token = [marks](unsigned char c) {
    return std::isalnum(c) != 0 || (c != 0 && marks.find(static_cast<char>(c)) != marks.npos);
  };
  for (size_t size = 1; size <= 36; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (unsigned number = 0; number < 256; ++number) {
        const auto c = static_cast<unsigned char>(number);
        std::string text(size, 'a');
        text[at] = static_cast<char>(c);
        const bool is_control = (c < 0x20 && c != '\t') || c == 0x7F;
        INFO("byte " << number << " at " << at << " of " << size);
        // As the last field and before another: the end of the bytes is near and far.
        for (const char* behind : {"", "Behind: another field to fill more than a block\r\n"}) {
          if (Parsed(get("V: " + text + "\r\n" + behind)).is_accepted == is_control) FAIL_CHECK("in a value");
          if (c != ':' && Parsed(get(text + ":\r\n" + behind)).is_accepted != is_token(c))
            FAIL_CHECK("in a name");
        }
        const bool may_be_in_target = c > 0x20 && c != 0x7F;
        if (Parsed(request("GET /" + text + " HTTP/1.1")).is_accepted != may_be_in_target)
          FAIL_CHECK("in a target");
      }
    }
  }
}

TEST_CASE("unknown methods pass and CONNECT does not") {
  const Parsed p(request("BREW! / HTTP/1.1"));
  REQUIRE(p.is_accepted);
  CHECK(p.head.method == http::Method::kOther);
  CHECK(p.head.method_text == "BREW!");
  const Parsed connect("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
  CHECK_FALSE(connect.is_accepted);
  CHECK(connect.fault.status == 501);
}

TEST_CASE("the body is framed by the fields") {
  CHECK(Parsed(get("")).head.body == BodyKind::kNone);
  CHECK(Parsed(post("Content-Length: 0\r\n")).head.body == BodyKind::kLength);
  CHECK(Parsed(post("content-LENGTH: 9223372036854775807\r\n")).head.content_length == 9223372036854775807U);
  CHECK(Parsed(post("Transfer-Encoding: Chunked\r\n")).head.body == BodyKind::kChunked);
  CHECK(Parsed(request("TRACE / HTTP/1.1", "Content-Length: 0\r\n")).is_accepted);
}

TEST_CASE("the connection is kept by version and Connection") {
  CHECK(Parsed(get("")).head.is_keep_alive);
  CHECK_FALSE(Parsed(get("Connection: Close\r\n")).head.is_keep_alive);
  CHECK_FALSE(Parsed(get("Connection: keep-alive\r\nConnection: x, close\r\n")).head.is_keep_alive);
  CHECK_FALSE(Parsed("GET / HTTP/1.0\r\n\r\n").head.is_keep_alive);
  CHECK(Parsed("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").head.is_keep_alive);
  CHECK_FALSE(Parsed("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n").head.is_keep_alive);
}

TEST_CASE("an upgrade needs both fields and HTTP/1.1") {
  CHECK(Parsed(get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n")).head.has_upgrade);
  CHECK_FALSE(Parsed(get("Upgrade: websocket\r\n")).head.has_upgrade);
  CHECK_FALSE(Parsed(get("Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n")).head.has_upgrade);
  CHECK_FALSE(Parsed(get("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n")).head.has_upgrade);
  CHECK_FALSE(Parsed(get("Connection: upgrade\r\n")).head.has_upgrade);
  CHECK_FALSE(
      Parsed(request("GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n")).head.has_upgrade);
  CHECK(Parsed(get("TE: trailers\r\n")).head.has_te_trailers);
  CHECK_FALSE(Parsed(get("TE: deflate\r\n")).head.has_te_trailers);
}

TEST_CASE("100-continue counts when a body is to come") {
  CHECK(Parsed(post("Expect: 100-Continue\r\nContent-Length: 1\r\n")).head.expects_continue);
  CHECK(Parsed(post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).head.expects_continue);
  CHECK_FALSE(Parsed(post("Expect: 100-continue\r\nContent-Length: 0\r\n")).head.expects_continue);
  CHECK_FALSE(Parsed(request("POST / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n"))
                  .head.expects_continue);
  const Parsed other(post("Expect: 200-ok\r\nContent-Length: 1\r\n"));
  CHECK_FALSE(other.is_accepted);
  CHECK(other.fault.status == 417);
}

TEST_CASE("targets of the three forms pass with a Host that agrees") {
  CHECK(Parsed(request("OPTIONS * HTTP/1.1")).is_accepted);
  CHECK(Parsed(request("GET http://A.EXAMPLE/x HTTP/1.1")).is_accepted);
  CHECK(Parsed(request("GET /\xc3\xa9 HTTP/1.1")).is_accepted);
  CHECK(Parsed("GET / HTTP/1.0\r\n\r\n").is_accepted);
}

TEST_CASE("every spelling that two servers may read differently is refused") {
  struct Row {
    std::string bytes;
    uint16_t status;
  };
  const Row rows[] = {
      // the request line
      {"\r\n\r\n", 400},
      {"\n\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {" " + get(""), 400},
      {request("GET / HTTP/1.1 "), 400},
      {request("GET  / HTTP/1.1"), 400},
      {request("GET /  HTTP/1.1"), 400},
      {request("GET /a b HTTP/1.1"), 400},
      {request("GET\t/ HTTP/1.1"), 400},
      {request("GET /\tHTTP/1.1"), 400},
      {request("G(T / HTTP/1.1"), 400},
      {request("GET / http/1.1"), 400},
      {request("GET / HTTP/1.1\r"), 400},
      {request("GET / HTTP/1.10"), 400},
      {request("GET / HTTP/1."), 400},
      {request("GET / HTTP/1,1"), 400},
      {request("GET / XTTP/1.1"), 400},
      {request("GET /\x7f HTTP/1.1"), 400},
      {request("GET /\0 HTTP/1.1"s), 400},
      {request("GET / HTTP/2.0"), 505},
      {request("GET / HTTP/1.2"), 505},
      {request("GET / HTTP/0.9"), 505},
      {"PRI * HTTP/2.0\r\n\r\n", 505},
      {request("GET * HTTP/1.1"), 400},
      {request("GET a HTTP/1.1"), 400},
      {request("GET ftp://a.example/ HTTP/1.1"), 400},
      {request("GET http:///x HTTP/1.1"), 400},
      {request("GET http://b.example/ HTTP/1.1"), 400},
      {request("GET http://a.example:80/ HTTP/1.1"), 400},
      {request("GET http://u@a.example/ HTTP/1.1"), 400},
      {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
      {"GET http://a/ HTTP/1.0\r\n\r\n", 400},
      // line ends and field lines
      {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\n", 400},
      {get("A: b\rc\r\n"), 400},
      {get("A: b\r\n") + "x", 400},
      {get("A: b\r\n c\r\n"), 400},
      {get("A: b\r\n\tc\r\n"), 400},
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {get("A : b\r\n"), 400},
      {get("A\t: b\r\n"), 400},
      {get(": b\r\n"), 400},
      {get("A\r\n"), 400},
      {get("A B: c\r\n"), 400},
      {get("A\0: b\r\n"s), 400},
      {get("A: b\0c\r\n"s), 400},
      {get("A: \x01\r\n"), 400},
      {get("A: \x7f\r\n"), 400},
      {get("A: \x0b\r\n"), 400},
      {get("\xc3\xa9: b\r\n"), 400},
      {get("\r: b\r\n"), 400},
      // Host
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {get("Host: a.example\r\n"), 400},
      {get("host: b\r\n"), 400},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      // framing
      {post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {post("Content-Length: 5\r\ncontent-length: 6\r\n"), 400},
      {post("Content-Length: 5, 5\r\n"), 400},
      {post("Content-Length: 5,\r\n"), 400},
      {post("Content-Length: +5\r\n"), 400},
      {post("Content-Length: -5\r\n"), 400},
      {post("Content-Length: 0x5\r\n"), 400},
      {post("Content-Length: 5 5\r\n"), 400},
      {post("Content-Length: 5.0\r\n"), 400},
      {post("Content-Length:\r\n"), 400},
      {post("Content-Length: 05\r\n"), 400},
      {post("Content-Length: \"5\"\r\n"), 400},
      {post("Content-Length: 9223372036854775808\r\n"), 413},
      {post("Content-Length: 18446744073709551621\r\n"), 413},
      {post("Content-Length: 99999999999999999999999999x\r\n"), 400},
      {post("Transfer-Encoding: xchunked\r\n"), 501},
      {post("Transfer-Encoding: identity\r\n"), 501},
      {post("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {post("Transfer-Encoding: chunked, identity\r\n"), 400},
      {post("Transfer-Encoding: chunked, chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked,\r\n"), 400},
      {post("Transfer-Encoding: , chunked\r\n"), 400},
      {post("Transfer-Encoding:\r\n"), 400},
      {post("Transfer-Encoding: chunked;a=b\r\n"), 400},
      {post("Transfer-Encoding: \"chunked\"\r\n"), 400},
      {post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       400},
      {post("Transfer-Encoding: chunked\x0c\r\n"), 400},
      {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400},
      {post("Transfer-Encoding : chunked\r\n"), 400},
      {post("Transfer-Encoding:\r\n chunked\r\n"), 400},
      {request("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), 400},
      {request("TRACE / HTTP/1.1", "Content-Length: 1\r\n"), 400},
      {request("TRACE / HTTP/1.1", "Transfer-Encoding: chunked\r\n"), 400},
  };
  for (const Row& row : rows) {
    const Parsed p(row.bytes);
    INFO(row.bytes);
    CHECK_FALSE(p.is_accepted);
    CHECK(p.fault.status == row.status);
    CHECK_FALSE(p.fault.reason.empty());
  }
}

TEST_CASE("a name with underscores is another name") {
  const Parsed p(post("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n"));
  REQUIRE(p.is_accepted);
  CHECK(p.head.body == BodyKind::kNone);
  CHECK(p.head.fields[1].name == "Content_Length");
}

TEST_CASE("one field more than the limit is refused with 431") {
  http::HeadLimits limits;
  limits.fields_max = 3;
  CHECK(Parsed(get("A: 1\r\nB: 2\r\n"), limits).is_accepted);
  const Parsed p(get("A: 1\r\nB: 2\r\nC: 3\r\n"), limits);
  CHECK_FALSE(p.is_accepted);
  CHECK(p.fault.status == 431);
}

TEST_CASE("no prefix of a head is a head") {
  const std::string whole = post("Content-Type: text/plain\r\nContent-Length: 3\r\n");
  for (size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(Parsed(whole.substr(0, size)).is_accepted);
  CHECK(Parsed(whole).is_accepted);
}
