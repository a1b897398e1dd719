// SPDX-License-Identifier: Apache-2.0
#include "proxy/request_head.h"

#include <catch2/catch.hpp>
#include <string>

#include "upstream/upstream.h"

using namespace moongate;

namespace {

/// An exchange as it is when a node has been picked.
struct Fixture {
  explicit Fixture(upstream::UpstreamOptions options = {},
                   const std::string& text = "GET /a?b=c HTTP/1.1\r\nHost: h:8080\r\n\r\n",
                   const std::string& node_host = "10.0.0.1") {
    parse(text);
    std::vector<upstream::Node> nodes(1);
    nodes[0].host = node_host;
    nodes[0].port = node_host == "10.0.0.1" ? 8080 : 0;
    exchange.upstream = upstream::Upstream::make(std::move(options), std::move(nodes), pool).take();
    exchange.node = exchange.upstream->pick(exchange.tried, {});
  }
  void parse(const std::string& text) {
    http::HeadFault fault;
    std::string_view kept = exchange.arena.copy(text);
    REQUIRE(
        http::parse_request_head(kept, http::HeadLimits{size_t{1} << 20, 200}, &exchange.request, &fault));
    std::string_view reason;
    REQUIRE(http::canonicalize_target(exchange.request.target, {}, &exchange.arena, &exchange.uri, &reason));
    exchange.peer_address = exchange.remote_address = "192.0.2.1";
  }
  std::string write(http::BodyKind body = http::BodyKind::kNone, bool is_upgrade = false) {
    return std::string(proxy::write_upstream_head(context, exchange, body, is_upgrade));
  }
  static bool has(const std::string& head, const std::string& line) {
    return head.find("\r\n" + line + "\r\n") != std::string::npos;
  }

  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  upstream::Pool pool{*loop};
  proxy::Context context{*loop, pool};
  exchange::Exchange exchange{0};
};

}  // namespace

TEST_CASE("a head ends once, begins with its request line, and names one host") {
  Fixture f;
  std::string head = f.write();
  CHECK(head.starts_with("GET /a?b=c HTTP/1.1\r\nHost: h:8080\r\n"));
  CHECK(head.find("\r\n\r\n") == head.size() - 4);
  CHECK(head.find("Host:", head.find("Host:") + 1) == head.find("Host:", head.find("X-Forwarded-Host:")));
}

TEST_CASE("what a stranger says about those before it does not reach the node") {
  Fixture f({},
            "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: "
            "6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
            "X-Forwarded-Port: 1\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n\r\n");
  std::string head = f.write();
  CHECK(Fixture::has(head, "X-Forwarded-For: 192.0.2.1"));
  CHECK(Fixture::has(head, "X-Real-IP: 192.0.2.1"));
  CHECK(Fixture::has(head, "X-Forwarded-Proto: http"));
  CHECK(Fixture::has(head, "X-Forwarded-Host: h"));
  CHECK(head.find("6.6.6.6") == std::string::npos);
  CHECK(head.find("evil") == std::string::npos);
}

TEST_CASE("what a trusted peer claimed is written whole although a plugin took the fields away") {
  Fixture f;
  std::string proto(100000, 'p'), host(100000, 'h'), port(100000, '1'), chain(100000, 'f');
  f.exchange.is_peer_trusted = true;
  f.exchange.forwarded = {chain, proto, host, port};
  std::string head = f.write();
  CHECK(Fixture::has(head, "X-Forwarded-Proto: " + proto));
  CHECK(Fixture::has(head, "X-Forwarded-Host: " + host));
  CHECK(Fixture::has(head, "X-Forwarded-Port: " + port));
  CHECK(Fixture::has(head, "X-Forwarded-For: " + chain + ", 192.0.2.1"));
}

TEST_CASE("framing is the gateway's own, whatever fields say") {
  Fixture f;
  f.exchange.request.fields.add("Content-Length", "999");
  f.exchange.request.fields.add("Transfer-Encoding", "chunked");
  f.exchange.request.fields.add("Connection", "close, X-Own");
  f.exchange.request.content_length = 7;
  std::string none = f.write();
  CHECK(none.find("Content-Length") == std::string::npos);
  CHECK(none.find("Transfer-Encoding") == std::string::npos);
  CHECK(none.find("close") == std::string::npos);
  CHECK(Fixture::has(f.write(http::BodyKind::kLength), "Content-Length: 7"));
  std::string chunked = f.write(http::BodyKind::kChunked);
  CHECK(Fixture::has(chunked, "Transfer-Encoding: chunked"));
  CHECK(chunked.find("Content-Length") == std::string::npos);
}

TEST_CASE(
    "the host that is sent is the plugin's, the upstream's, the node's or the client's, in this order") {
  upstream::UpstreamOptions rewrite;
  rewrite.pass_host = upstream::PassHost::kRewrite;
  rewrite.host = "inner";
  Fixture f(rewrite);
  CHECK(proxy::choose_upstream_host(f.exchange) == "inner");
  f.exchange.upstream_host = "plugin";
  CHECK(proxy::choose_upstream_host(f.exchange) == "plugin");
  upstream::UpstreamOptions node;
  node.pass_host = upstream::PassHost::kNode;
  Fixture to_node(node);
  CHECK(proxy::choose_upstream_host(to_node.exchange) == "10.0.0.1:8080");
  Fixture plain;
  CHECK(proxy::choose_upstream_host(plain.exchange) == "h:8080");
}

TEST_CASE("a client of HTTP/1.0 that names no host is given the node's") {
  Fixture f({}, "GET / HTTP/1.0\r\n\r\n");
  CHECK(Fixture::has(f.write(), "Host: 10.0.0.1:8080"));
}

TEST_CASE("a node on a unix socket is localhost to those who need a name") {
  Fixture nameless({}, "GET / HTTP/1.0\r\n\r\n", "unix:/run/node.sock");
  CHECK(proxy::choose_upstream_host(nameless.exchange) == "localhost");
  upstream::UpstreamOptions options;
  options.pass_host = upstream::PassHost::kNode;
  Fixture node(options, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "unix:/run/node.sock");
  CHECK(proxy::choose_upstream_host(node.exchange) == "localhost");
}

TEST_CASE("an upgrade is asked for only where it is wanted") {
  Fixture f({}, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(f.write().find("pgrade") == std::string::npos);
  std::string head = f.write(http::BodyKind::kNone, true);
  CHECK(Fixture::has(head, "Connection: upgrade"));
  CHECK(Fixture::has(head, "Upgrade: websocket"));
}
