// SPDX-License-Identifier: Apache-2.0
#include "exchange/variables.h"

#include <catch2/catch.hpp>
#include <string>

#include "exchange_fixture.h"

using namespace moongate;
using namespace moongate::exchange;
using namespace moongate::exchange_fixture;

namespace {

/// A parsed request.
struct Fixture {
  explicit Fixture(const std::string& text =
                       "GET /a%20b?x=1&y=%2B&x=2&empty=&flag HTTP/1.1\r\nHost: h\r\n"
                       "X-Some-Thing: v\r\nCookie: a=1; b=2\r\nCookie: c=3\r\n\r\n") {
    exchange.begin(client, nullptr);
    http::HeadFault fault;
    std::string_view reason;
    REQUIRE(http::parse_request_head(exchange.arena.copy(text), {}, &exchange.request, &fault));
    REQUIRE(http::canonicalize_target(exchange.request.target, {}, &exchange.arena, &exchange.uri, &reason));
    exchange.original_uri = exchange.uri;
    exchange.host = exchange.request.host;
    exchange.peer_address = exchange.remote_address = "192.0.2.1";
  }
  std::string get(const std::string& name) {
    std::string_view value;
    return find_variable(exchange, name, &value) ? std::string(value) : "unset";
  }
  SilentClient client;
  Exchange exchange{0};
};

}  // namespace

TEST_CASE("every name that is documented is found") {
  Fixture f;
  f.exchange.response.status = 200;
  for (const char* name : {"apisix_request_id",
                           "args",
                           "body_bytes_sent",
                           "bytes_sent",
                           "client_scheme",
                           "connection",
                           "host",
                           "hostname",
                           "http2",
                           "is_args",
                           "method",
                           "msec",
                           "pid",
                           "proxy_add_x_forwarded_for",
                           "query_string",
                           "real_request_uri",
                           "realip_remote_addr",
                           "realip_remote_port",
                           "remote_addr",
                           "remote_port",
                           "request",
                           "request_id",
                           "request_length",
                           "request_method",
                           "request_time",
                           "request_type",
                           "request_uri",
                           "scheme",
                           "server_addr",
                           "server_name",
                           "server_port",
                           "server_protocol",
                           "status",
                           "time_iso8601",
                           "time_local",
                           "upstream_host",
                           "upstream_scheme",
                           "upstream_uri",
                           "uri"}) {
    INFO(name);
    CHECK(f.get(name) != "unset");
  }
}

TEST_CASE("the client's scheme is the connection's, or what a trusted forwarder says") {
  for (const auto& [is_tls, claim, expected] :
       {std::tuple(false, "", "http"), std::tuple(true, "", "https"), std::tuple(false, "https", "https"),
        std::tuple(true, "http", "http")}) {
    Fixture f;
    f.exchange.is_tls = is_tls;
    f.exchange.forwarded.proto = claim;
    CHECK(f.get("client_scheme") == expected);
  }
}

TEST_CASE("what has no value yet is unset, not empty") {
  Fixture f;
  for (const char* name :
       {"balancer_ip",   "balancer_port",   "consumer_name", "content_length",  "content_type",
        "https",         "route_id",        "route_name",    "service_id",      "status",
        "upstream_addr", "upstream_status", "no_such",       "http_",           "arg_",
        "cookie_",       "arg_none",        "uri_param_x",   "upstream_http_x", ""}) {
    INFO(name);
    CHECK(f.get(name) == "unset");
  }
}

TEST_CASE("arguments are decoded, the first of a name counts, and a bare name is empty") {
  Fixture f;
  CHECK(f.get("arg_x") == "1");
  CHECK(f.get("arg_y") == "+");
  CHECK(f.get("arg_empty") == "");
  CHECK(f.get("arg_flag") == "");
  CHECK(f.get("args") == "x=1&y=%2B&x=2&empty=&flag");
}

TEST_CASE("fields and cookies are found by their variable names") {
  Fixture f;
  CHECK(f.get("http_x_some_thing") == "v");
  CHECK(f.get("http_X_Some_Thing") == "unset");
  CHECK(f.get("cookie_a") == "1");
  CHECK(f.get("cookie_b") == "2");
  CHECK(f.get("cookie_c") == "3");
  CHECK(f.get("cookie_A") == "unset");
}

TEST_CASE("the request as it came and as it is now are told apart") {
  Fixture f;
  f.exchange.uri.path = f.exchange.uri.wire_path = "/new";
  f.exchange.uri.has_query = false;
  f.exchange.uri.query = {};
  CHECK(f.get("uri") == "/new");
  CHECK(f.get("upstream_uri") == "/new");
  CHECK(f.get("request_uri") == "/a%20b?x=1&y=%2B&x=2&empty=&flag");
  CHECK(f.get("request") == "GET /a%20b?x=1&y=%2B&x=2&empty=&flag HTTP/1.1");
}

TEST_CASE("figures of several tries stand side by side, and no more than there are records") {
  Fixture f;
  f.exchange.tries = 2;
  f.exchange.try_records[0].address = "10.0.0.1:80";
  f.exchange.try_records[1].address = "10.0.0.2:80";
  f.exchange.try_records[1].status = 200;
  f.exchange.try_records[1].response_time = std::chrono::milliseconds(1500);
  CHECK(f.get("upstream_addr") == "10.0.0.1:80, 10.0.0.2:80");
  CHECK(f.get("upstream_status") == "-, 200");
  CHECK(f.get("upstream_response_time") == "-, 1.500");
  f.exchange.tries = 1'000'000;
  CHECK(f.get("upstream_addr").size() < 1000);
}

TEST_CASE("facts cannot be set, what steers the proxy and a plugin's own can") {
  Fixture f;
  for (const char* fact : {"remote_addr", "uri", "status", "host", "request_method"})
    CHECK(set_variable(f.exchange, fact, "x") == Written::kNo);
  CHECK(set_variable(f.exchange, "upstream_host", "inner") == Written::kYes);
  CHECK(f.get("upstream_host") == "inner");
  CHECK(set_variable(f.exchange, "mine", "1") == Written::kYes);
  CHECK(set_variable(f.exchange, "mine", "2") == Written::kYes);
  CHECK(f.get("mine") == "2");
  CHECK(f.exchange.variables.size() == 1);
}

TEST_CASE("what a plugin wants sent leaves the request's own path as it is") {
  Fixture f;
  const std::string before(f.get("uri"));
  CHECK(set_variable(f.exchange, "upstream_uri", "/b%20c?d=1") == Written::kYes);
  CHECK(f.get("upstream_uri") == "/b%20c?d=1");
  CHECK(f.exchange.sent_uri().path == "/b c");
  CHECK(f.get("uri") == before);
  for (const char* wrong : {"b", "http://other/", "/a b", "/a#b", "/%zz", "/../a", "/a?b c", "/a\r\nx: y"}) {
    INFO(wrong);
    CHECK(set_variable(f.exchange, "upstream_uri", wrong) == Written::kRefused);
    CHECK_FALSE(f.exchange.has_upstream_uri);
  }
  CHECK(set_variable(f.exchange, "upstream_uri", "/x") == Written::kYes);
  CHECK(set_variable(f.exchange, "upstream_uri", "") == Written::kYes);
  CHECK(f.exchange.sent_uri().path == before);
}

TEST_CASE("a plugin's variables have a limit") {
  Fixture f;
  int taken = 0;
  for (int i = 0; i < 1000; i++)
    taken += set_variable(f.exchange, "v" + std::to_string(i), "x") == Written::kYes;
  CHECK(taken == 64);
  CHECK(set_variable(f.exchange, "v0", "y") == Written::kYes);
}

TEST_CASE("a set value does not hang on the text it was set from") {
  Fixture f;
  std::string name = "mine", value = "before";
  CHECK(set_variable(f.exchange, name, value) == Written::kYes);
  value = "after!";
  name = "xxxx";
  CHECK(f.get("mine") == "before");
}

TEST_CASE(
    "the key of consistent hashing comes from where the upstream says, else from the client's address") {
  auto loop = net::EventLoop::make().take();
  upstream::Pool pool(*loop);
  auto key = [&](const std::string& hash_on, const std::string& name) {
    Fixture f;
    upstream::UpstreamOptions options;
    options.hash_on = hash_on;
    options.key = name;
    f.exchange.upstream = upstream::Upstream::make(options, {}, pool).take();
    return std::string(find_hash_key(f.exchange));
  };
  CHECK(key("vars", "arg_x") == "1");
  CHECK(key("vars", "arg_none") == "192.0.2.1");
  CHECK(key("header", "X-Some-Thing") == "v");
  CHECK(key("header", "X-None") == "192.0.2.1");
  CHECK(key("cookie", "b") == "2");
  CHECK(key("consumer", "") == "192.0.2.1");
  CHECK(key("vars_combinations", "$request_method-$arg_x") == "GET-1");
  CHECK(key("vars_combinations", "no variable") == "192.0.2.1");
}
