// SPDX-License-Identifier: Apache-2.0
#include "upstream/attempt.h"

#include "upstream_fixture.h"

using namespace moongate;
using namespace moongate::upstream;
using namespace moongate::upstream_fixture;

namespace {

struct Fixture : Turning {
  explicit Fixture(const net::SocketAddress& at = *net::make_ip_address("127.0.0.1", 0)) : node(at) {
    request.head = "GET / HTTP/1.1\r\nHost: n\r\n\r\n";
    request.arena = &arena;
    request.response = &handler.response;
    handler.on_ready = [this] { attempt.send(nullptr, 0, true); };
  }
  void start() { attempt.start(endpoint, request, timeouts, limits); }
  /// Starts, and waits until the node has the request.
  void start_and_arrive() {
    start();
    REQUIRE(turn_until(node, [&] { return node.received.find("\r\n\r\n") != std::string::npos; }));
  }
  void finish() {
    REQUIRE(turn_until(node, [&] { return handler.is_over(); }));
  }
  void answer(const std::string& bytes) {
    start_and_arrive();
    node.send(bytes);
    finish();
  }
  void send(const std::string& bytes, bool is_last) {
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    attempt.send(&piece, 1, is_last);
  }

  base::Arena arena;
  NodeServer node;
  std::shared_ptr<Endpoint> endpoint = std::make_shared<Endpoint>(*loop, node.address);
  Recorder handler{arena};
  Attempt attempt{&handler};
  AttemptRequest request;
  Timeouts timeouts;
  PoolLimits limits;
};

using std::chrono::seconds;

}  // namespace

TEST_CASE("an answer with a length gives its connection back for the next request") {
  Fixture f;
  f.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(f.handler.words == "ready head200 last");
  CHECK(f.handler.body == "hello");
  CHECK(f.endpoint->idle_count() == 1);
  f.handler.words.clear();
  f.node.received.clear();
  f.answer("HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(f.attempt.is_reused());
  CHECK(f.node.accepted == 1);
}

TEST_CASE("a head that comes a byte at a time is the same head") {
  Fixture f;
  f.start_and_arrive();
  for (char c : std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) {
    f.node.send(std::string(1, c));
    f.settle(f.node);
  }
  f.finish();
  CHECK(f.handler.words == "ready head200 last");
  CHECK(f.handler.body == "ok");
}

TEST_CASE("bytes behind a complete answer end the connection and are nobody's answer") {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
                             "HTTP/1.1 204 No Content\r\n\r\nx",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx"}) {
    Fixture f;
    f.answer(answer);
    CHECK(f.endpoint->idle_count() == 0);
    CHECK(f.handler.body.size() <= 2);
  }
}

TEST_CASE("an idle connection that says something is not used again") {
  Fixture f;
  f.answer("HTTP/1.1 204 No Content\r\n\r\n");
  REQUIRE(f.endpoint->idle_count() == 1);
  f.node.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(f.turn_until(f.node, [&] { return f.endpoint->idle_count() == 0; }));
}

TEST_CASE("an answer up to the end of its connection ends there, and a reset is not an end") {
  Fixture f;
  f.start_and_arrive();
  f.node.send("HTTP/1.1 200 OK\r\n\r\nall of it");
  f.node.close();
  f.finish();
  CHECK(f.handler.words == "ready head200 last");
  CHECK(f.handler.body == "all of it");
  CHECK(f.endpoint->idle_count() == 0);

  Fixture broken;
  broken.start_and_arrive();
  broken.node.send("HTTP/1.1 200 OK\r\n\r\npart");
  REQUIRE(broken.turn_until(broken.node, [&] { return broken.handler.body == "part"; }));
  broken.node.reset();
  broken.finish();
  CHECK(broken.handler.words == "ready head200 failed");
}

TEST_CASE("an answer shorter than it said has failed, and not as one that never came") {
  Fixture f;
  f.start_and_arrive();
  f.node.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  f.node.close();
  f.finish();
  CHECK(f.handler.words == "ready head200 failed");
  CHECK(f.handler.stage == AttemptStage::kAnswering);
  CHECK(f.handler.kind == base::ErrorKind::kClosed);
}

TEST_CASE("how far an attempt had come is told by its stage") {
  Fixture refused;
  refused.endpoint = std::make_shared<Endpoint>(*refused.loop, *net::make_ip_address("127.0.0.1", 1));
  refused.start();
  refused.finish();
  CHECK(refused.handler.stage == AttemptStage::kConnecting);
  CHECK(refused.handler.kind == base::ErrorKind::kUnreachable);

  Fixture closed;
  closed.start_and_arrive();
  closed.node.close();
  closed.finish();
  CHECK(closed.handler.stage == AttemptStage::kSent);

  Fixture begun;
  begun.start_and_arrive();
  begun.node.send("HTTP/1.1 200");
  begun.settle(begun.node);
  begun.node.close();
  begun.finish();
  CHECK(begun.handler.stage == AttemptStage::kAnswering);
}

TEST_CASE("a connection that cannot even be begun fails in a later turn, not inside start") {
  Fixture f;
  f.endpoint = std::make_shared<Endpoint>(*f.loop, *net::make_unix_address("/nonexistent/socket"));
  f.start();
  CHECK(f.handler.words.empty());
  CHECK_FALSE(f.attempt.is_ready());
  f.finish();
  CHECK(f.handler.words == "failed");
  CHECK(f.handler.stage == AttemptStage::kConnecting);
  CHECK(f.handler.detail.find("/nonexistent/socket") != std::string::npos);
}

TEST_CASE("interim answers are passed on, and not without end") {
  Fixture f;
  f.answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(f.handler.words == "ready interim103 head200 last");

  Fixture endless;
  std::string interim;
  for (int i = 0; i < 40; i++) interim += "HTTP/1.1 102 Processing\r\n\r\n";
  endless.answer(interim);
  CHECK(endless.handler.detail == "the upstream sends interim answers without end");
}

TEST_CASE("heads that are too large or no HTTP fail with a reason") {
  Fixture large;
  large.start_and_arrive();
  std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x');
  large.node.send(head);
  large.finish();
  CHECK(large.handler.kind == base::ErrorKind::kLimit);

  for (const char* bytes :
       {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n"}) {
    Fixture f;
    f.answer(bytes);
    INFO(bytes);
    CHECK(f.handler.kind == base::ErrorKind::kInvalid);
  }
}

TEST_CASE("an upgrade that was asked for hands the connection over with what came behind the head") {
  Fixture f;
  f.request.wants_upgrade = true;
  f.start_and_arrive();
  f.node.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst");
  REQUIRE(f.turn_until(f.node, [&] { return f.handler.words.ends_with("first"); }));
  CHECK(f.handler.words == "ready upgraded:first");
  auto connection = f.attempt.take_connection();
  CHECK(connection->stream.is_open());
  CHECK_FALSE(f.attempt.is_active());
}

TEST_CASE("a body is framed as the request says, and trailers follow the last chunk only") {
  Fixture f;
  f.request.body = http::BodyKind::kChunked;
  f.handler.on_ready = [&f] {
    f.send("abc", false);
    f.attempt.set_trailers("X-Sum: 1\r\n");
    f.send("de", true);
  };
  f.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(f.node.received.ends_with("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"));
}

TEST_CASE("an answer before the end of the request closes the connection") {
  Fixture f;
  f.request.body = http::BodyKind::kChunked;
  f.handler.on_ready = [&f] { f.send("abc", false); };
  f.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  CHECK(f.handler.words == "ready head200 last");
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("a node that does not read blocks the sender, and tells when it reads again") {
  Fixture f;
  f.request.body = http::BodyKind::kChunked;
  f.node.is_reading = false;
  f.handler.on_ready = [&f] {
    while (!f.attempt.is_blocked()) f.send(std::string(100'000, 'b'), false);
  };
  f.start();
  f.settle(f.node);
  CHECK(f.handler.words == "ready");
  f.node.is_reading = true;
  CHECK(f.turn_until(f.node, [&] { return f.handler.words == "ready drained"; }));
  CHECK_FALSE(f.attempt.is_blocked());
}

TEST_CASE("each wait for a node has its own time limit") {
  Fixture reading;
  reading.start_and_arrive();
  reading.advance(seconds(59));
  reading.settle(reading.node);
  CHECK(reading.handler.words == "ready");
  reading.advance(seconds(2));
  reading.finish();
  CHECK(reading.handler.detail == "the upstream did not answer in time");

  Fixture sending;
  sending.timeouts.send = seconds(5);
  sending.node.is_reading = false;
  sending.handler.on_ready = [&sending] {
    while (!sending.attempt.is_blocked()) sending.send(std::string(100'000, 'b'), false);
  };
  sending.start();
  sending.settle(sending.node);
  sending.advance(seconds(6));
  sending.finish();
  CHECK(sending.handler.detail == "the upstream did not take the request in time");
}

TEST_CASE("no time limit runs while the client owes the rest of the body") {
  Fixture f;
  f.request.body = http::BodyKind::kChunked;
  f.handler.on_ready = [&f] { f.send("abc", false); };
  f.start_and_arrive();
  f.advance(seconds(1000));
  f.settle(f.node);
  CHECK(f.handler.words == "ready");
  f.send("def", true);
  f.advance(seconds(61));
  f.finish();
  CHECK(f.handler.detail == "the upstream did not answer in time");
}

TEST_CASE("a paused attempt takes nothing in, runs out of no time, and goes on where it was") {
  Fixture f;
  f.start_and_arrive();
  f.attempt.pause();
  f.node.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  f.advance(seconds(100));
  f.settle(f.node);
  CHECK(f.handler.words == "ready");
  f.attempt.resume();
  f.finish();
  CHECK(f.handler.body == "ok");
}

TEST_CASE("nothing is called back after cancel, wherever it is called") {
  Fixture f;
  f.handler.on_body = [&f] { f.attempt.cancel(); };
  f.start_and_arrive();
  std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 200; i++) answer += "1\r\nx\r\n";  // more pieces than one call brings
  f.node.send(answer);
  REQUIRE(f.turn_until(f.node, [&] { return !f.attempt.is_active(); }));
  f.settle(f.node);
  CHECK(f.handler.words == "ready head200");
  CHECK(f.handler.body.size() < 200);
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("a node that answers without end leaves the loop to others") {
  const std::string path = "/tmp/moongate-node-" + std::to_string(::getpid());
  Fixture f(*net::make_unix_address(path));  // such a socket is full again as soon as it was read
  constexpr size_t kEnough = 64'000'000;
  f.handler.on_body = [&f] {
    if (f.handler.body.size() < kEnough) f.node.send(std::string(300'000, 'y'));
  };
  f.start_and_arrive();
  ::unlink(path.c_str());
  f.node.send("HTTP/1.1 200 OK\r\n\r\n" + std::string(300'000, 'y'));
  size_t most = 0;
  for (int turns = 0; turns < 50 && f.handler.body.size() < kEnough; turns++) {
    size_t before = f.handler.body.size();
    f.loop->run_once();
    most = std::max(most, f.handler.body.size() - before);
  }
  CHECK(f.handler.body.size() > 4'000'000);
  CHECK(most < 4'000'000);
}
