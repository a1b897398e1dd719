// SPDX-License-Identifier: Apache-2.0
// Requests over HTTP/2 against a real session on the other side: what a connection does when the node leaves,
// refuses, falls silent or misbehaves, and how requests share connections.
#include "upstream/http2_link.h"

#include "http2_node.h"
#include "upstream/http2_try.h"

using namespace moongate;
using namespace moongate::upstream;
using namespace moongate::upstream_fixture;
using namespace std::chrono_literals;

namespace {

constexpr uint32_t kInternalError = 2, kRefusedStream = 7, kCancel = 8;

/// One request to the fixture's node.
struct Call {
  explicit Call(const std::string& start_line = "GET /", bool has_body = false)
      : head(start_line + " HTTP/1.1\r\nHost: n\r\n\r\n") {
    request.head = head;
    request.is_http2 = true;
    request.arena = &arena;
    request.response = &handler.response;
    if (has_body) request.body = http::BodyKind::kChunked;
    handler.on_ready = [this, has_body] { attempt.send(nullptr, 0, !has_body); };
  }
  void send(const std::string& bytes, bool is_last) {
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    attempt.send(&piece, bytes.empty() ? 0 : 1, is_last);
  }
  std::string head;
  base::Arena arena;
  Recorder handler{arena};
  AttemptRequest request;
  Attempt attempt{&handler};
};

struct Fixture : Turning {
  void start(Call& call) { call.attempt.start(endpoint, call.request, timeouts, limits); }
  bool until(const std::function<bool()>& is_done) {
    return turn_until(node, [&] {
      peer.turn();
      return is_done();
    });
  }
  void settle() {
    for (int turns = 0; turns < 12; turns++)
      static_cast<void>(until([first = true]() mutable { return !std::exchange(first, false); }));
  }
  /// Starts, and waits until the node has it on `stream`.
  void arrive(Call& call, int32_t stream) {
    start(call);
    REQUIRE(until([&] { return peer.requests.count(stream) == 1 && peer.requests[stream].is_head_over; }));
  }
  void finish(Call& call) {
    REQUIRE(until([&] { return call.handler.is_over(); }));
  }
  void pass_time(base::Duration by) {
    advance(by);
    settle();
  }

  NodeServer node;
  Http2Node peer{node};
  std::shared_ptr<Endpoint> endpoint = std::make_shared<Endpoint>(*loop, node.address);
  Timeouts timeouts{5s, 5s, 5s};
  PoolLimits limits;
};

}  // namespace

TEST_CASE("requests share a connection, and each gets its own answer and trailers") {
  Fixture f;
  Call first("GET /1"), second("POST /2", true);
  f.arrive(first, 1);
  f.arrive(second, 3);
  CHECK(f.node.accepted == 1);
  CHECK(f.peer.requests[1].fields[":path"] == "/1");
  CHECK(f.peer.requests[1].has_ended);
  CHECK_FALSE(f.peer.requests[3].has_ended);
  second.attempt.set_trailers("x-after: 1\r\n");
  second.send("body", true);
  REQUIRE(f.until([&] { return f.peer.requests[3].has_ended; }));
  CHECK(f.peer.requests[3].body == "body");
  CHECK(f.peer.requests[3].trailers["x-after"] == "1");
  f.peer.answer(3, "two", "0");
  f.finish(second);
  f.peer.answer(1, "one");
  f.finish(first);
  CHECK(first.handler.body == "one");
  CHECK(second.handler.body == "two");
  CHECK(second.attempt.trailers() == "grpc-status: 0\r\n");
}

TEST_CASE("nothing of a request is sent before the node has shown that it speaks HTTP/2") {
  Fixture f;
  f.peer.is_silent = true;
  Call call;
  f.start(call);
  REQUIRE(f.until([&] { return !f.node.received.empty(); }));
  f.settle();
  CHECK(f.node.received.find("n") == std::string::npos);  // the host
  CHECK(call.handler.words.empty());
  f.pass_time(6s);
  CHECK(call.handler.words == "failed");
  CHECK(call.handler.kind == base::ErrorKind::kTimeout);
  CHECK(call.handler.stage == AttemptStage::kConnecting);
}

TEST_CASE("a node that closes instead of speaking has been sent nothing") {
  Fixture f;
  f.peer.is_silent = true;
  Call call;
  f.start(call);
  REQUIRE(f.until([&] { return !f.node.received.empty(); }));
  f.node.close();
  f.finish(call);
  CHECK(call.handler.stage == AttemptStage::kConnecting);
  CHECK(call.handler.detail == "the upstream closed the connection instead of speaking HTTP/2");
}

TEST_CASE("a request that a GOAWAY leaves out goes to a new connection with its body, the others stay") {
  Fixture f;
  Call kept, left("POST /", true);
  f.arrive(kept, 1);
  f.arrive(left, 3);
  left.send("body", true);
  REQUIRE(f.until([&] { return f.peer.requests[3].has_ended; }));
  f.peer.answer(1, "begun", "", false);
  f.peer.leave(1);
  REQUIRE(f.until(
      [&] { return f.node.accepted == 2 && f.peer.requests.count(1) == 1 && f.peer.requests[1].has_ended; }));
  CHECK(f.peer.requests[1].body == "body");
  f.peer.answer(1, "again");
  f.finish(left);
  CHECK(left.handler.body == "again");
  CHECK(kept.handler.words == "ready head200");
  kept.attempt.cancel();
}

TEST_CASE("no request is begun on a connection that the node is leaving") {
  Fixture f;
  Call kept, later;
  f.arrive(kept, 1);
  f.peer.leave(1);
  f.settle();
  f.start(later);
  REQUIRE(f.until([&] { return f.node.accepted == 2; }));
  later.attempt.cancel();
  kept.attempt.cancel();
}

TEST_CASE("a refused stream is sent again three times and then fails as if it had not been sent") {
  Fixture f;
  Call call("POST /", true);
  f.arrive(call, 1);
  call.send("body", true);
  for (int32_t stream = 1; stream <= 7; stream += 2) {
    INFO(stream);
    REQUIRE(f.until([&] { return f.peer.requests[stream].has_ended; }));
    CHECK(f.peer.requests[stream].body == "body");
    f.peer.reset(stream, kRefusedStream);
  }
  f.finish(call);
  CHECK(call.handler.words == "ready failed");
  CHECK(call.handler.stage == AttemptStage::kConnecting);
  CHECK(f.node.accepted == 1);
}

TEST_CASE("a refused stream whose body was too large to keep is not sent again") {
  Fixture f;
  Call call("POST /", true);
  f.arrive(call, 1);
  call.send(std::string(65 * 1024, 'x'), false);
  REQUIRE(f.until([&] { return f.peer.requests[1].body.size() > 64 * 1024; }));
  f.peer.reset(1, kRefusedStream);
  f.finish(call);
  CHECK(call.handler.words == "ready failed");
}

TEST_CASE("a stream that is reset fails once, and the connection goes on") {
  Fixture f;
  Call early, late, other;
  f.arrive(early, 1);
  f.arrive(late, 3);
  f.peer.reset(1, kInternalError);
  f.finish(early);
  CHECK(early.handler.stage == AttemptStage::kSent);
  CHECK(early.handler.detail == "the upstream ended the request's stream (code 2)");
  f.peer.answer(3, "part", "", false);
  REQUIRE(f.until([&] { return late.handler.body == "part"; }));
  f.peer.reset(3, kInternalError);
  f.finish(late);
  CHECK(late.handler.words == "ready head200 failed");
  CHECK(late.handler.stage == AttemptStage::kAnswering);
  f.arrive(other, 5);
  CHECK(f.node.accepted == 1);
  other.attempt.cancel();
}

TEST_CASE("a closed window holds the body back until it opens") {
  Fixture f;
  f.peer.opens_windows = false;
  f.peer.settings = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
  Call call("POST /", true);
  f.arrive(call, 1);
  call.send(std::string(200 * 1024, 'x'), true);
  f.settle();
  CHECK(f.peer.requests[1].body.empty());
  CHECK(call.attempt.is_blocked());
  f.peer.open_window(1, 60 * 1024);
  REQUIRE(f.until([&] { return f.peer.requests[1].body.size() == 60 * 1024; }));
  f.pass_time(4s);
  f.peer.open_window(1, 4096);
  f.settle();
  f.pass_time(4s);  // longer than the timeout in all, but something was taken
  CHECK(call.handler.words == "ready");
  f.pass_time(2s);
  CHECK(call.handler.words == "ready failed");
  CHECK(call.handler.detail == "the upstream did not take the request in time");
  REQUIRE(f.until([&] { return f.peer.requests[1].reset.has_value(); }));
  CHECK(f.peer.requests[1].reset == kCancel);
}

TEST_CASE("whoever fed a closed window hears when there is room again") {
  Fixture f;
  f.peer.settings = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
  Call call("POST /", true);
  f.arrive(call, 1);
  call.send(std::string(200 * 1024, 'x'), false);
  f.peer.open_window(0, 1 << 20);
  f.peer.open_window(1, 1 << 20);
  REQUIRE(f.until([&] { return call.handler.words == "ready drained"; }));
  CHECK_FALSE(call.attempt.is_blocked());
  call.attempt.cancel();
}

TEST_CASE("no connection carries more requests at a time than the node allows") {
  Fixture f;
  f.peer.settings = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}};
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 5; i++) f.start(*calls.emplace_back(std::make_unique<Call>()));
  REQUIRE(f.until([&] { return f.node.accepted == 3 && f.peer.requests.size() == 1; }));
  f.settle();
  CHECK(f.node.accepted == 3);
  CHECK(f.peer.requests.size() == 1);
  for (auto& call : calls) call->attempt.cancel();
}

TEST_CASE("a node that lowers what it allows is not sent more on the next request") {
  Fixture f;
  Call first, second;
  f.arrive(first, 1);
  f.peer.change_settings({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}});
  f.settle();
  f.start(second);
  REQUIRE(f.until([&] { return f.node.accepted == 2; }));
  first.attempt.cancel();
  second.attempt.cancel();
}

TEST_CASE("a node that allows no streams at all cannot be used") {
  Fixture f;
  f.peer.settings = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0}};
  Call call;
  f.start(call);
  f.finish(call);
  CHECK(call.handler.stage == AttemptStage::kConnecting);
  CHECK(call.handler.detail == "the upstream allows no HTTP/2 streams");
}

TEST_CASE("an idle connection is kept for its time and ends with a GOAWAY") {
  Fixture f;
  Call call, next;
  f.limits.idle_timeout = 60s;
  f.arrive(call, 1);
  f.peer.answer(1, "x");
  f.finish(call);
  f.pass_time(50s);
  CHECK(f.endpoint->idle_http2_count() == 1);
  f.arrive(next, 3);
  f.peer.answer(3, "x");
  f.finish(next);
  f.pass_time(50s);  // from the last request on
  CHECK(f.endpoint->idle_http2_count() == 1);
  f.pass_time(11s);
  CHECK(f.endpoint->idle_http2_count() == 0);
  REQUIRE(f.until([&] { return f.peer.goodbye.has_value(); }));
  CHECK(f.peer.goodbye == NGHTTP2_NO_ERROR);
}

TEST_CASE("a connection that has carried its share is replaced") {
  Fixture f;
  f.limits.requests_max = 2;
  for (int i = 0; i < 3; i++) {
    Call call;
    const int32_t stream = i == 1 ? 3 : 1;
    f.start(call);
    REQUIRE(f.until([&] { return f.node.accepted == i / 2 + 1 && f.peer.requests[stream].has_ended; }));
    f.peer.answer(stream, "x");
    f.finish(call);
  }
}

TEST_CASE("a retired address finishes what is under way and is asked nothing more") {
  Fixture f;
  Call call, next;
  f.arrive(call, 1);
  f.endpoint->retire();
  f.peer.answer(1, "x");
  f.finish(call);
  CHECK(call.handler.words == "ready head200 last");
  f.start(next);
  REQUIRE(f.until([&] { return f.node.accepted == 2; }));
  next.attempt.cancel();
}

TEST_CASE("pings are answered, also while nothing is under way") {
  Fixture f;
  Call call;
  f.arrive(call, 1);
  f.peer.answer(1, "x");
  f.finish(call);
  f.peer.ping();
  CHECK(f.until([&] { return f.peer.pongs == 1; }));
}

TEST_CASE("a node that floods loses its connection and every request on it, and the next one begins anew") {
  const std::string ping("\x00\x00\x08\x06\x00\x00\x00\x00\x00pingping", 17),
      settings("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 9),
      empty_data("\x00\x00\x00\x00\x00\x00\x00\x00\x01", 9),
      unknown("\x00\x00\x01\xee\x00\x00\x00\x00\x00x", 10);
  for (const std::string& flood : {ping, settings, empty_data, unknown}) {
    INFO(static_cast<int>(flood[3]));
    Fixture f;
    Call one, other, next;
    f.arrive(one, 1);
    f.arrive(other, 3);
    f.peer.answer(1, "x", "", false);
    std::string bytes;
    for (int i = 0; i < 4000; i++) bytes += flood;
    f.peer.is_silent = true;
    f.peer.say(bytes);
    f.finish(one);
    f.finish(other);
    CHECK(one.handler.kind == base::ErrorKind::kInvalid);
    f.peer.is_silent = false;
    f.node.received.clear();
    f.start(next);
    REQUIRE(f.until([&] { return f.node.accepted == 2; }));
    next.attempt.cancel();
  }
}

TEST_CASE("a cancelled request is reset at once though others are under way") {
  Fixture f;
  Call cancelled, other;
  f.arrive(cancelled, 1);
  f.arrive(other, 3);
  cancelled.attempt.cancel();
  REQUIRE(f.until([&] { return f.peer.requests[1].reset.has_value(); }));
  CHECK(f.peer.requests[1].reset == kCancel);
  f.peer.answer(3, "x");
  f.finish(other);
  CHECK(other.handler.body == "x");
}

TEST_CASE("a request that is cancelled before it could be sent is not sent") {
  Fixture f;
  Call cancelled, other;
  f.start(cancelled);
  f.start(other);
  cancelled.attempt.cancel();
  REQUIRE(f.until([&] { return f.peer.requests.count(1) == 1 && f.peer.requests[1].has_ended; }));
  f.settle();
  CHECK(f.peer.requests.size() == 1);
  CHECK(cancelled.handler.words.empty());
  other.attempt.cancel();
}

TEST_CASE("an answer before the end of the request ends the rest of the request") {
  Fixture f;
  Call call("POST /", true), other;
  f.arrive(call, 1);
  f.arrive(other, 3);
  f.peer.answer(1, "enough");
  f.finish(call);
  CHECK(call.handler.body == "enough");
  REQUIRE(f.until([&] { return f.peer.requests[1].reset.has_value(); }));
  CHECK(f.peer.requests[1].reset == kCancel);
  other.attempt.cancel();
}

TEST_CASE(
    "an answer that is not wanted yet is held to a window's worth, and the window opens when it is taken") {
  Fixture f;
  Call call, other;
  f.arrive(call, 1);
  f.arrive(other, 3);
  f.peer.answer(1, "x", "", false);
  REQUIRE(f.until([&] { return call.handler.body == "x"; }));
  call.attempt.pause();
  f.peer.requests[1].answer = std::string(1 << 20, 'y');
  f.peer.requests[1].is_answer_whole = true;
  f.peer.window_opened = 0;
  f.peer.resume(1);
  f.peer.answer(3, std::string(1000, 'z'));
  f.finish(other);  // who is slow holds up nobody
  f.pass_time(20s);
  CHECK(call.handler.body == "x");  // and it is not the node who is slow
  CHECK(f.peer.requests[1].answer.size() >= (1 << 20) - 256 * 1024);
  CHECK(f.peer.window_opened == 0);
  call.attempt.resume();
  f.finish(call);
  CHECK(call.handler.body.size() == 1 + (1 << 20));
}

TEST_CASE("a silent node is given up in time and told so") {
  Fixture f;
  Call call;
  f.arrive(call, 1);
  f.pass_time(4s);
  CHECK(call.handler.words == "ready");
  f.pass_time(2s);
  CHECK(call.handler.words == "ready failed");
  CHECK(call.handler.kind == base::ErrorKind::kTimeout);
  REQUIRE(f.until([&] { return f.peer.requests[1].reset.has_value(); }));
  CHECK(f.peer.requests[1].reset == kCancel);
}

TEST_CASE("interim answers are passed on, but not without end") {
  Fixture f;
  Call call;
  f.arrive(call, 1);
  f.peer.interim(1);
  REQUIRE(f.until([&] { return call.handler.words == "ready interim103"; }));
  for (int i = 0; i < 40 && !call.handler.is_over(); i++) {
    f.peer.interim(1);
    f.settle();
  }
  CHECK(call.handler.is_over());
  CHECK(call.handler.kind == base::ErrorKind::kLimit);
}

TEST_CASE("a connection that dies takes all of its requests along, each told once") {
  Fixture f;
  Call first, second, third;
  f.arrive(first, 1);
  f.arrive(second, 3);
  f.start(third);
  f.node.reset();
  for (Call* call : {&first, &second}) {
    f.finish(*call);
    CHECK(call->handler.words == "ready failed");
    CHECK(call->handler.stage == AttemptStage::kSent);
  }
  third.attempt.cancel();
}
