// SPDX-License-Identifier: Apache-2.0
// Heads as bytes, and which fields do not travel on.
#include "http/writer.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate;
using http::Field;

TEST_CASE("a request head fits its bound exactly and parses to what was written") {
  base::Arena arena;
  http::FieldList fields(&arena);
  fields.add("Host", "a.example");
  fields.add("X-Empty", "");
  const std::string line = "POST /a?b=c HTTP/1.1\r\n";
  std::string buffer(http::head_size_bound(fields, line.size()), '#');
  char* at = http::write_request_line(buffer.data(), "POST", "/a", "b=c", true);
  CHECK(std::string(buffer.data(), at) == line);
  for (const Field& field : fields) at = http::write_field(at, field.name, field.value);
  *at++ = '\r';
  *at++ = '\n';
  REQUIRE(at == buffer.data() + buffer.size());
  http::RequestHead head(&arena);
  http::HeadFault fault;
  REQUIRE(http::parse_request_head(buffer, {}, &head, &fault));
  CHECK(head.target == "/a?b=c");
  CHECK(head.fields.count() == 2);
}

TEST_CASE("start lines are written as asked") {
  char buffer[100];
  const auto text = [&buffer](char* end) { return std::string(buffer, end); };
  CHECK(text(http::write_request_line(buffer, "GET", "/", "", false)) == "GET / HTTP/1.1\r\n");
  CHECK(text(http::write_request_line(buffer, "GET", "/", "", true)) == "GET /? HTTP/1.1\r\n");
  CHECK(text(http::write_status_line(buffer, 404, "")) == "HTTP/1.1 404 Not Found\r\n");
  CHECK(text(http::write_status_line(buffer, 200, "Fine")) == "HTTP/1.1 200 Fine\r\n");
  CHECK(text(http::write_number(buffer, 0)) == "0");
  CHECK(text(http::write_number(buffer, 18446744073709551615U)) == "18446744073709551615");
}

TEST_CASE("fields of one connection are known by name or by being listed") {
  const auto is_hop_by_hop = [](const char* name, const char* connection) {
    return http::is_hop_by_hop(Field(name, ""), connection);
  };
  for (const char* name :
       {"Connection", "keep-alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"}) {
    CHECK(is_hop_by_hop(name, ""));
  }
  CHECK(is_hop_by_hop("X-Mine", "close, x-mine"));
  CHECK_FALSE(is_hop_by_hop("X-Mine", ""));
  CHECK_FALSE(is_hop_by_hop("X-Mine", "x-mine-too"));
}

TEST_CASE("fields of one connection are taken out, whichever Connection field lists them") {
  base::Arena arena;
  http::FieldList fields(&arena);
  fields.add("X-One", "1");
  fields.add("Connection", "Upgrade, x-one");
  fields.add("Content-Length", "0");
  fields.add("Keep-Alive", "timeout=5");
  fields.add("Connection", "X-Two, Content-Length");
  fields.add("X-Two", "2");
  fields.add("X-Kept", "3");
  fields.add("Upgrade", "websocket");
  http::remove_hop_by_hop(fields);
  REQUIRE(fields.count() == 2);
  CHECK(fields[0].name == "Content-Length");
  CHECK(fields[1].name == "X-Kept");
}

TEST_CASE("Connection cannot take away a field that travels end to end") {
  for (const char* name : {"Host", "Content-Length", "Authorization", "X-Forwarded-For", "Cookie"}) {
    CHECK_FALSE(http::is_hop_by_hop(Field(name, ""), name));
  }
}
