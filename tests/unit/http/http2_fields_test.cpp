// SPDX-License-Identifier: Apache-2.0
#include "http/http2_fields.h"

#include <catch2/catch.hpp>
#include <initializer_list>
#include <utility>

using namespace moongate;
using namespace moongate::http;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs request(Pairs more = {}, const std::string& method = "GET", const std::string& path = "/") {
  Pairs all{{":method", method}, {":scheme", "http"}, {":authority", "a.test"}, {":path", path}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// A block as it would come, and what becomes of it.
struct Parsed {
  explicit Parsed(const Pairs& fields, bool is_last = true, HeadLimits limits = {}) {
    for (const auto& [name, value] : fields) block.add(name, value, limits.head_size_max_bytes);
    is_good = parse_http2_request(block, is_last, limits, &arena, &head, &fault);
  }
  std::string value(std::string_view name) const {
    const Field* field = head.fields.find(name);
    return field ? std::string(field->value) : "none";
  }
  base::Arena arena;
  Http2FieldBlock block;
  RequestHead head{&arena};
  HeadFault fault;
  bool is_good = false;
};

int status(const Pairs& fields, bool is_last = true) {
  Parsed parsed(fields, is_last);
  return parsed.is_good ? 0 : parsed.fault.status;
}

}  // namespace

namespace {

struct Response {
  explicit Response(const Pairs& fields, bool is_last, Method method = Method::kGet) {
    for (const auto& [name, value] : fields) block.add(name, value, 1000);
    is_good = parse_http2_response(block, is_last, {}, method, &head, &arena, &reason);
  }
  base::Arena arena;
  Http2FieldBlock block;
  ResponseHead head{&arena};
  std::string_view reason;
  bool is_good = false;
};

std::string refusal(const Pairs& fields, bool is_last = true) {
  Response response(fields, is_last);
  return response.is_good ? "good" : std::string(response.reason);
}

}  // namespace

TEST_CASE("a response's body is of the kind that its end and its length say") {
  CHECK(Response({{":status", "200"}}, true).head.body == BodyKind::kLength);
  CHECK(Response({{":status", "200"}}, false).head.body == BodyKind::kChunked);
  CHECK(Response({{":status", "204"}}, true).head.body == BodyKind::kNone);
  Response sized({{":status", "404"}, {"content-length", "5"}}, false);
  CHECK(sized.head.body == BodyKind::kLength);
  CHECK(sized.head.content_length == 5);
  CHECK(sized.head.status == 404);
  CHECK(sized.head.fields.count() == 1);
  Response to_head({{":status", "200"}, {"content-length", "5"}}, true, Method::kHead);
  CHECK(to_head.is_good);
  CHECK(to_head.head.body == BodyKind::kNone);
}

TEST_CASE("malformed responses are refused with a reason") {
  CHECK(refusal({{"x", "1"}}) == "no :status");
  CHECK(refusal({{":status", "20"}}) == "a malformed :status");
  CHECK(refusal({{":status", "099"}}) == "a malformed :status");
  CHECK(refusal({{":status", "200"}, {":status", "200"}}) == "a second :status");
  CHECK(refusal({{":status", "101"}}, false) == "a 101, which HTTP/2 does not have");
  CHECK(refusal({{":status", "103"}}) == "an interim response that ends the stream");
  CHECK(refusal({{":status", "103"}, {"content-length", "5"}}, false) ==
        "an interim response that announces a body");
  CHECK(refusal({{"x", "1"}, {":status", "200"}}) == "a pseudo-header behind headers");
  CHECK(refusal({{":status", "200"}, {":path", "/"}}) ==
        "a header name with a character that may not be there");
  CHECK(refusal({{":status", "200"}, {"X", "1"}}) == "a header name with a character that may not be there");
  CHECK(refusal({{":status", "200"}, {"transfer-encoding", "chunked"}}) ==
        "a header that only HTTP/1 connections have");
  CHECK(refusal({{":status", "200"}, {"x", "a\r\nb"}}) == "a header value with a byte that may not be there");
  CHECK(refusal({{":status", "200"}, {"content-length", "5"}}) == "a Content-Length, and no body");
  CHECK(refusal({{":status", "200"}, {"x", std::string(1000, 'x')}}) == "a header section that is too large");
}

TEST_CASE("a block becomes the head that HTTP/1 would have had") {
  Parsed parsed(request({{"accept", "*/*"}}, "PUT", "/a?b"));
  REQUIRE(parsed.is_good);
  CHECK(parsed.head.method == Method::kPut);
  CHECK(parsed.head.target == "/a?b");
  CHECK(parsed.head.host == "a.test");
  CHECK(parsed.value("host") == "a.test");
  CHECK(parsed.value("accept") == "*/*");
  CHECK(parsed.head.fields.count() == 2);
  CHECK(parsed.head.version_major == 2);
  CHECK(parsed.head.body == BodyKind::kNone);
}

TEST_CASE("the end of the stream and Content-Length decide on the body") {
  CHECK(Parsed(request({}, "POST"), false).head.body == BodyKind::kChunked);
  Parsed with_length(request({{"content-length", "5"}}, "POST"), false);
  CHECK(with_length.head.body == BodyKind::kLength);
  CHECK(with_length.head.content_length == 5);
  CHECK(status(request({{"content-length", "0"}}, "POST")) == 0);
  CHECK(status(request({{"content-length", "5"}}, "POST")) == 400);
  CHECK(status(request({}, "TRACE"), false) == 400);
}

TEST_CASE("the crumbs of a cookie are put together in order, and count as one header") {
  Parsed parsed(request({{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"cookie", "c=3"}}));
  REQUIRE(parsed.is_good);
  CHECK(parsed.value("cookie") == "a=1; b=2; c=3");
  CHECK(parsed.head.fields.count() == 3);
  Pairs crumbs;
  for (int i = 0; i < 200; i++) crumbs.push_back({"cookie", "a=" + std::to_string(i)});
  CHECK(status(request(crumbs)) == 0);
}

TEST_CASE("Host may stand in for :authority, and must agree with it") {
  Pairs without{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "B.test:1"}};
  Parsed parsed(without);
  REQUIRE(parsed.is_good);
  CHECK(parsed.head.host == "B.test:1");
  CHECK(parsed.head.host_parts.port == 1);
  CHECK(status(request({{"host", "A.TEST"}})) == 0);
  CHECK(status(request({{"host", "b.test"}})) == 400);
  CHECK(status(request({{"host", "a.test"}, {"host", "a.test"}})) == 400);
}

TEST_CASE("too many headers and too large a block are answered 431") {
  Pairs many;
  for (int i = 0; i < 101; i++) many.push_back({"x-" + std::to_string(i), ""});
  CHECK(status(request(many)) == 431);
  many.pop_back();
  CHECK(status(request(many)) == 0);
  CHECK(status(request({{"x", std::string(32 * 1024, 'a')}})) == 431);
}

TEST_CASE("an extended CONNECT for websocket is the GET of an upgrade") {
  Pairs fields{{":method", "CONNECT"},
               {":protocol", "websocket"},
               {":scheme", "https"},
               {":authority", "a"},
               {":path", "/c"}};
  Parsed parsed(fields, false);
  REQUIRE(parsed.is_good);
  CHECK(parsed.head.is_extended_connect);
  CHECK(parsed.head.has_upgrade);
  CHECK(parsed.head.method_text == "GET");
  CHECK(parsed.head.body == BodyKind::kNone);
  CHECK(status(fields, true) == 400);
  fields.push_back({"content-length", "1"});
  CHECK(status(fields, false) == 400);
}

TEST_CASE("lines of HTTP/1 cannot be made of a block") {
  // Every byte at every place of a name and a value: what passes is one line and stays one.
  for (int byte = 0; byte < 256; byte++) {
    const std::string c(1, static_cast<char>(byte));
    for (const auto& [name, value] :
         Pairs{{c, "v"}, {"a" + c, "v"}, {"a" + c + "b", "v"}, {"a", c}, {"a", "v" + c + "w"}}) {
      Parsed parsed(request({{name, value}}));
      if (!parsed.is_good) continue;
      CHECK(name.find_first_of("\r\n: ") == std::string::npos);
      CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
      CHECK(parsed.head.fields.count() == 2);
    }
    Parsed path(request({}, "GET", "/" + c));
    if (path.is_good) CHECK((byte > 0x20 && byte != 0x7f));
    if (Parsed(request({}, "G" + c)).is_good) CHECK(is_field_name(c));
  }
}

TEST_CASE("trailers become lines; what decides on framing or identity of a message is left out") {
  Http2FieldBlock block;
  block.add("x-sum", "1", 1000);
  block.add("content-length", "5", 1000);
  block.add("grpc-status", "0", 1000);
  std::string lines;
  CHECK(parse_http2_trailers(block, &lines));
  CHECK(lines == "x-sum: 1\r\ngrpc-status: 0\r\n");
  for (const char* name : {":path", "X-A", "a b", ""}) {
    Http2FieldBlock bad;
    bad.add(name, "1", 1000);
    CHECK_FALSE(parse_http2_trailers(bad, &lines));
  }
}

TEST_CASE("a priority is read as far as it is understood") {
  CHECK(parse_priority("").urgency == 3);
  CHECK(parse_priority("u=1").urgency == 1);
  CHECK(parse_priority("i, u=7").urgency == 7);
  CHECK(parse_priority("i, u=7").is_incremental);
  CHECK_FALSE(parse_priority("i=?0").is_incremental);
  CHECK(parse_priority("u=9, u=, x, ,,").urgency == 3);
}
