// SPDX-License-Identifier: Apache-2.0
#include "proxy/connection.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

#include "gateway_fixture.h"

using namespace moongate;
using namespace moongate::proxy_fixture;

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Moves the clock of this process for the length of a test.
class MovedClock {
 public:
  ~MovedClock() {
    base::Clock::set_offset({});
    base::Clock::refresh();
  }
  void advance(base::Duration by) { base::Clock::set_offset(base::Clock::offset() + by); }
};

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) found++;
  return found;
}

/// A plugin with one function, given as Lua.
std::pair<std::string, std::string> plugin(const std::string& name, const std::string& functions) {
  return {name, "local core = require('apisix.core')\nlocal _M = {version = 0.1, priority = 10, name = '" +
                    name + "', schema = {type = 'object'}}\n" + functions + "\nreturn _M\n"};
}

}  // namespace

TEST_CASE("answers requests of one connection in turn") {
  Origin origin;
  Gateway gateway({{route_json(origin.node())}, {}});
  REQUIRE(gateway.complaints.empty());
  auto client = gateway.connect();
  client->send(kGet + kGet);
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "\r\n\r\n");
  }));
  origin.connections[0]->send(kOk);
  REQUIRE(gateway.turn_until(*client, origin,
                             [&] { return count(origin.connections[0]->received, "GET / ") == 2; }));
  origin.connections[0]->send(kOk);
  REQUIRE(gateway.turn_until(*client, origin, [&] { return count(client->received, "\r\n\r\nok") == 2; }));
}

TEST_CASE("a client that goes while its slow plugin asks for the body takes nothing with it") {
  Gateway gateway(
      {{R"({"uri": "/*", "plugins": {"slow": {}}})"},
       {plugin("slow",
               "function _M.access() ngx.sleep(0.005) core.request.get_body() return 200, 'x' end")}});
  REQUIRE(gateway.complaints.empty());
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  client->finish_sending();
  REQUIRE(gateway.turn_until(*client, [&] { return gateway.context().connection_count == 0; }));
  CHECK(gateway.context().exchanges.active() == 0);
  auto other = gateway.connect();
  other->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  REQUIRE(gateway.turn_until(*other, [&] { return has(other->received, "\r\n\r\nx"); }));
}

TEST_CASE("a client that takes no 100 Continue leaves nothing on the exchange it used") {
  Gateway gateway({{R"({"uri": "/*", "plugins": {"mark": {}}})"}, {plugin("mark", R"(
    function _M.access(conf, ctx)
      if core.request.header(ctx, 'x-mark') then
        core.request.get_body()
      end
      core.response.set_header('X-Own', 'yes')
      return 200, 'done'
    end)")}});
  REQUIRE(gateway.complaints.empty());
  auto deaf = gateway.connect();
  deaf->refuse_bytes();
  deaf->send("POST / HTTP/1.1\r\nHost: a\r\nX-Mark: 1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  gateway.settle([&] { deaf->turn(); });
  deaf->close();
  REQUIRE(gateway.turn_until(*deaf, [&] { return gateway.context().connection_count == 0; }));
  CHECK(gateway.context().exchanges.active() == 0);
  auto client = gateway.connect();
  client->send(kGet);
  REQUIRE(gateway.turn_until(*client, [&] { return has(client->received, "done"); }));
  CHECK(has(client->received, "X-Own: yes"));
}

TEST_CASE("answers of a size that the socket takes in parts do not end the request behind them") {
  Gateway gateway({{R"({"uri": "/*", "plugins": {"big": {}}})"}, {plugin("big", R"(
    local body = string.rep('#', 24000)
    function _M.access() ngx.sleep(0) return 200, body end)")}});
  REQUIRE(gateway.complaints.empty());
  constexpr size_t kRequests = 1000;
  constexpr size_t kBytes = 24000;
  auto client = gateway.connect({}, 8192);
  std::string requests;
  for (size_t i = 0; i < kRequests; i++) requests += kGet;
  client->send(requests);
  client->is_reading = false;
  std::atomic<size_t> got{0};
  std::thread reader([&, fd = client->fd()] {
    std::string bytes(65536, 0);
    for (ssize_t size = 1; size > 0 && got < kRequests * kBytes;) {
      size = ::recv(fd, bytes.data(), bytes.size(), 0);
      for (ssize_t i = 0; i < size; i++) got += bytes[static_cast<size_t>(i)] == '#';
    }
  });
  bool is_all_there = gateway.turn_until(*client, [&] { return got == kRequests * kBytes; });
  ::shutdown(client->fd(), SHUT_RDWR);
  reader.join();
  CHECK(is_all_there);
}

TEST_CASE("the trailers of one answer are not those of the refusal that follows") {
  Origin origin;
  Gateway gateway({{route_json(origin.node())}, {}});
  auto client = gateway.connect();
  client->send(kGet);
  REQUIRE(gateway.turn_until(*client, origin, [&] { return !origin.connections.empty(); }));
  origin.connections[0]->send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n");
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "X-Sum: 7\r\n\r\n"); }));
  client->received.clear();
  client->send("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(100000, 'x'));
  REQUIRE(gateway.turn_until(*client, origin, [&] { return client->is_ended; }));
  CHECK(has(client->received, "HTTP/1.1 431 "));
  CHECK(has(client->received, "Content-Length: "));
  CHECK_FALSE(has(client->received, "X-Sum"));
}

TEST_CASE("a node that takes the body slowly is not the client's delay") {
  MovedClock clock;
  Origin origin;
  Gateway gateway({{route_json(origin.node())}, {}});
  gateway.context().client.body_timeout = std::chrono::seconds(1);
  auto client = gateway.connect();
  const size_t size = 20'000'000;
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
               std::string(size, 'b'));
  REQUIRE(gateway.turn_until(*client, origin, [&] { return !origin.connections.empty(); }));
  Peer& node = *origin.connections[0];
  node.is_reading = false;
  gateway.settle([&] { client->turn(); });
  clock.advance(std::chrono::seconds(5));
  gateway.settle([&] { client->turn(); });
  CHECK(client->received == "");
  node.is_reading = true;
  REQUIRE(gateway.turn_until(*client, origin, [&] { return node.received.size() > size; }));
  node.send(kOk);
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "\r\n\r\nok"); }));
  CHECK(has(client->received, "HTTP/1.1 200 "));
}

TEST_CASE("a client that sends its body slowly is not the node's delay") {
  MovedClock clock;
  Origin origin;
  Gateway gateway(
      {{route_json(origin.node(), R"(, "timeout": {"connect": 60, "send": 60, "read": 1})")}, {}});
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "abc");
  }));
  clock.advance(std::chrono::seconds(5));
  gateway.settle([&] { client->turn(); });
  CHECK(client->received == "");
  client->send("def");
  REQUIRE(
      gateway.turn_until(*client, origin, [&] { return has(origin.connections[0]->received, "abcdef"); }));
  clock.advance(std::chrono::seconds(2));  // now it is the node that keeps everyone waiting
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "HTTP/1.1 504 "); }));
}

TEST_CASE("a client that stalls in its body is given up although an answer was on its way") {
  MovedClock clock;
  Origin origin;
  Gateway gateway({{route_json(origin.node())}, {}});
  gateway.context().client.body_timeout = std::chrono::seconds(1);
  auto client = gateway.connect();
  client->is_reading = false;
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "abc");
  }));
  origin.connections[0]->send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" +
                              std::string(2'000'000, 'y'));
  gateway.settle([&] { origin.turn(); });
  client->is_reading = true;
  REQUIRE(gateway.turn_until(*client, origin, [&] { return count(client->received, "y") == 2'000'000; }));
  clock.advance(std::chrono::seconds(5));
  REQUIRE(gateway.turn_until(*client, origin, [&] { return client->is_ended; }));
}

TEST_CASE("a chunked body over the limit of the plugin that reads it reaches the upstream whole") {
  Origin origin;
  Gateway gateway({{route_json(origin.node(), R"(, "plugins": {"peek": {}})")},
                   {plugin("peek", "function _M.access() core.request.get_body(5) end")}});
  REQUIRE(gateway.complaints.empty());
  auto client = gateway.connect();
  client->send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "0\r\n\r\n");
  }));
  CHECK(has(origin.connections[0]->received, "0123456789"));
}

TEST_CASE("a body that breaks off while a plugin reads it is not forwarded as a shorter one") {
  Origin origin;
  Gateway gateway({{route_json(origin.node(), R"(, "plugins": {"peek": {}})")},
                   {plugin("peek", "function _M.access() core.request.get_body() end")}});
  REQUIRE(gateway.complaints.empty());
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nx\r\n");
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "\r\n\r\n"); }));
  CHECK(has(client->received, "HTTP/1.1 400 "));
  CHECK(origin.connections.empty());
}

TEST_CASE("a client that sends without end leaves the loop to others") {
  Gateway gateway({{R"({"uri": "/*", "plugins": {"wait": {}}})"},
                   {plugin("wait", "function _M.access() ngx.sleep(60) end")}});
  REQUIRE(gateway.complaints.empty());
  constexpr size_t kEnough = 64'000'000;
  struct Refilling final : exchange::BodySink {
    explicit Refilling(Peer& sender) : peer(sender) {}
    void on_request_body(const iovec* pieces, int number, bool) override {
      for (int i = 0; i < number; i++) taken += pieces[i].iov_len;
      if (taken < kEnough) peer.send(std::string(200'000, 'b'));
    }
    void on_request_body_failed(uint16_t, std::string_view) override {}
    bool wants_body() const override { return taken < kEnough; }
    Peer& peer;
    size_t taken = 0;
  };
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
  REQUIRE(gateway.turn_until(*client, [&] { return gateway.context().exchanges.active() == 1; }));
  Refilling sink(*client);
  client->send(std::string(200'000, 'b'));
  proxy::Connection* connection = gateway.context().connections;
  connection->set_body_sink(&sink);
  connection->read_body();
  size_t before = sink.taken;
  CHECK(before < 4'000'000);
  gateway.loop().run_once();
  CHECK(sink.taken > before);  // and it goes on by itself
  CHECK(sink.taken - before < 4'000'000);
  connection->set_body_sink(nullptr);
}

TEST_CASE("a small body that nobody wanted is passed over, whichever way it came") {
  Gateway gateway({{R"({"uri": "/*", "plugins": {"no": {}}})"},
                   {plugin("no", "function _M.access() return 401, 'no' end")}});
  REQUIRE(gateway.complaints.empty());
  const std::string length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
  for (const std::vector<std::string>& pieces : {std::vector<std::string>{length + "abc" + kGet},
                                                 {length, "abc" + kGet},
                                                 {length + "a", "bc", kGet},
                                                 {length + "abc", kGet}}) {
    auto client = gateway.connect();
    for (const std::string& piece : pieces) {
      client->send(piece);
      gateway.settle([&] { client->turn(); });
    }
    CHECK(gateway.turn_until(*client, [&] { return count(client->received, "HTTP/1.1 401 ") == 2; }));
  }
}

TEST_CASE(
    "a body filter that fails before anything was sent is answered 500, later it breaks the answer off") {
  for (bool is_early : {true, false}) {
    Origin origin;
    Gateway gateway({{route_json(origin.node(), R"(, "plugins": {"fail": {}})")}, {plugin("fail", R"(
      function _M.body_filter() if ngx.arg[1]:find('bad') then error('no') end end)")}});
    REQUIRE(gateway.complaints.empty());
    auto client = gateway.connect();
    client->send(kGet);
    REQUIRE(gateway.turn_until(*client, origin, [&] { return !origin.connections.empty(); }));
    Peer& node = *origin.connections[0];
    node.send(std::string("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n") + (is_early ? "bad" : "good"));
    gateway.settle([&] { client->turn(); });
    if (!is_early) node.send("bad.");
    REQUIRE(gateway.turn_until(*client, origin, [&] {
      return is_early ? has(client->received, "a plugin failed") : client->is_ended;
    }));
    CHECK(has(client->received, is_early ? "HTTP/1.1 500 " : "HTTP/1.1 200 "));
    CHECK_FALSE(has(client->received, "\r\n0\r\n\r\n"));  // nothing says that this was the whole answer
    CHECK(gateway.context().exchanges.active() == 0);
  }
}

TEST_CASE("a tunnel passes bytes both ways, those behind the heads too, and an end as an end") {
  Origin origin;
  Gateway gateway({{route_json(origin.node(), R"(, "enable_websocket": true)")}, {}});
  auto client = gateway.connect();
  client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "\r\n\r\n");
  }));
  Peer& node = *origin.connections[0];
  node.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nfirst");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return client->received.ends_with("\r\n\r\nfirst") && node.received.ends_with("\r\n\r\nearly");
  }));
  const std::string large(3'000'000, 'z');
  client->send(large);
  node.send(large);
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return client->received.size() > large.size() && node.received.size() > large.size();
  }));
  client->finish_sending();
  REQUIRE(gateway.turn_until(*client, origin, [&] { return node.is_ended; }));
  node.send("last words");
  node.finish_sending();
  REQUIRE(gateway.turn_until(*client, origin, [&] { return client->is_ended; }));
  CHECK(client->received.ends_with("last words"));
  CHECK(gateway.context().connection_count == 0);
}

TEST_CASE("draining ends idle connections at once and busy ones with their answer") {
  Origin origin;
  Gateway gateway({{route_json(origin.node())}, {}});
  auto idle = gateway.connect(), busy = gateway.connect();
  busy->send(kGet);
  REQUIRE(gateway.turn_until(*busy, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "\r\n\r\n");
  }));
  gateway.context().is_draining = true;
  for (proxy::Connection* one = gateway.context().connections; one;) {
    proxy::Connection* after = one->next;
    one->drain();
    one = after;
  }
  CHECK(gateway.context().connection_count == 1);
  origin.connections[0]->send(kOk);
  REQUIRE(gateway.turn_until(*busy, origin, [&] { return busy->is_ended; }));
  CHECK(has(busy->received, "Connection: close\r\n"));
  CHECK(busy->received.ends_with("\r\n\r\nok"));
}
