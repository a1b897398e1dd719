// SPDX-License-Identifier: Apache-2.0
// The codec on its own: frames written by the test go in, and what comes out is looked at frame by frame.
// Hostile frames against the real gateway are in tests/e2e/http2_hostile_test.py.
#include "http/http2_session.h"

#include <catch2/catch.hpp>
#include <map>

#include "base/clock.h"

using namespace moongate;
using namespace moongate::http;

namespace {

constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoaway = 7,
                  kWindowUpdate = 8;

std::string number(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload = "") {
  std::string head = number(static_cast<uint32_t>(payload.size())).substr(1);
  head += static_cast<char>(type);
  head += static_cast<char>(flags);
  return head + number(stream) + payload;
}

std::string literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) +
         value;
}

std::string get(uint32_t stream, uint8_t flags = 5) {
  return frame(kHeaders, flags, stream,
               literal(":method", "GET") + literal(":scheme", "http") + literal(":path", "/") +
                   literal(":authority", "a"));
}

struct Frame {
  uint8_t type, flags;
  uint32_t stream;
  std::string payload;
};

/// A stream that records what it is told, and says what the test wants.
struct Stream final : Http2StreamHandler {
  void on_data(std::string_view bytes) override { body += bytes; }
  void on_last() override { has_ended = true; }
  void on_trailers(const Http2FieldBlock& block, bool) override { trailers = block.text(); }
  Http2Offer offer_data(size_t size_max) override {
    const size_t size = std::min(size_max, answer.size());
    return {size, is_answer_whole && size == answer.size(), false};
  }
  void take_data(size_t size, std::string* out) override {
    out->append(answer, 0, size);
    answer.erase(0, size);
  }
  void on_frame_sent(size_t size_bytes) override { sent_bytes += size_bytes; }
  void on_closed(bool is_complete) override { ended = is_complete ? "complete" : "broken"; }

  std::string body, trailers, answer, ended;
  bool has_ended = false, is_answer_whole = true;
  size_t sent_bytes = 0;
};

struct Peer final : Http2Handler {
  explicit Peer(const Http2Session::Options& options = {})
      : session(Http2Session::make_server(*this, options)) {}
  void on_stream(int32_t id, const Http2FieldBlock&, bool) override { session->attach(id, &streams[id]); }
  void on_shutdown_heard() override { has_heard = true; }

  bool receive(const std::string& bytes) { return session->receive(bytes); }
  std::vector<Frame> write() {
    std::string out;
    session->write(&out, 1 << 20);
    std::vector<Frame> frames;
    for (size_t at = 0; at + 9 <= out.size();) {
      const auto byte = [&out](size_t i) { return static_cast<uint8_t>(out[i]); };
      const size_t size = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
      frames.push_back({byte(at + 3), byte(at + 4), static_cast<uint32_t>(byte(at + 7) << 8 | byte(at + 8)),
                        out.substr(at + 9, size)});
      at += 9 + size;
    }
    return frames;
  }
  /// Of one type.
  std::vector<Frame> write(uint8_t type) {
    std::vector<Frame> found;
    for (Frame& one : write())
      if (one.type == type) found.push_back(std::move(one));
    return found;
  }
  void greet() {
    REQUIRE(receive(std::string(kHttp2Preface) + frame(kSettings, 0, 0)));
    write();
    REQUIRE(receive(frame(kSettings, 1, 0)));
  }
  std::map<int32_t, Stream> streams;
  bool has_heard = false;
  std::unique_ptr<Http2Session> session;
};

base::Arena arena;

}  // namespace

TEST_CASE("a request and its answer close their stream") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1)));
  Stream& stream = peer.streams.at(1);
  CHECK(stream.has_ended);
  stream.answer = "hello";
  FieldList fields(&arena);
  fields.add("X-Upper", "1");
  fields.add("Connection", "close");
  peer.session->send_head(1, 200, fields, true);
  const auto frames = peer.write();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].type == kHeaders);
  CHECK(frames[1].type == kData);
  CHECK(frames[1].flags == 1);
  CHECK(frames[1].payload == "hello");
  CHECK(stream.ended == "complete");
  CHECK(stream.sent_bytes == 9 + frames[0].payload.size() + 9 + 5);
}

TEST_CASE("a stream without a handler has its data thrown away and its window opened") {
  struct Deaf final : Http2Handler {
    void on_stream(int32_t, const Http2FieldBlock&, bool) override {}
    void on_shutdown_heard() override {}
  } deaf;
  auto session = Http2Session::make_server(deaf, {});
  std::string out;
  REQUIRE(session->receive(std::string(kHttp2Preface) + frame(kSettings, 0, 0)));
  REQUIRE(session->write(&out, 1 << 20));
  std::string input = frame(kSettings, 1, 0) + get(1, 4);
  for (int i = 0; i < 6; i++) input += frame(kData, 0, 1, std::string(16384, 'x'));
  REQUIRE(session->receive(input));
  out.clear();
  REQUIRE(session->write(&out, 1 << 20));
  CHECK(out.find(frame(kWindowUpdate, 0, 1).substr(3, 6)) != std::string::npos);
}

TEST_CASE("windows open by what was consumed and by nothing else") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4)));
  for (int i = 0; i < 7; i++) REQUIRE(peer.receive(frame(kData, 0, 1, std::string(16384, 'x'))));
  CHECK(peer.write(kWindowUpdate).empty());
  peer.session->consume(1, size_t{7} * 16384);
  CHECK(peer.write(kWindowUpdate).size() == 1);
}

TEST_CASE("an answer stops at the peer's window and at the size that is wanted") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1)));
  peer.streams.at(1).answer.assign(1 << 20, 'x');
  peer.session->send_head(1, 200, FieldList(&arena), true);
  std::string out;
  REQUIRE(peer.session->write(&out, 20000));
  CHECK(out.size() < 20000 + 16384 + 9);
  while (true) {
    const size_t before = out.size();
    REQUIRE(peer.session->write(&out, before + 20000));
    if (out.size() == before) break;
  }
  CHECK(peer.streams.at(1).answer.size() == (1 << 20) - 65535);
  CHECK(peer.streams.at(1).ended.empty());
}

TEST_CASE("an answer that is whole before the request ends the stream without blame") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4)));
  peer.session->send_head(1, 403, FieldList(&arena), false);
  const auto frames = peer.write();
  REQUIRE(frames.size() == 2);
  CHECK(frames[1].type == kReset);
  CHECK(frames[1].payload == number(0));
  CHECK(peer.streams.at(1).ended == "complete");
}

TEST_CASE("who attaches nobody any more is not called") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4)));
  peer.session->attach(1, nullptr);
  REQUIRE(peer.receive(frame(kData, 0, 1, "x") + frame(kReset, 0, 1, number(8))));
  CHECK(peer.streams.at(1).body.empty());
  CHECK(peer.streams.at(1).ended.empty());
}

TEST_CASE("a shutdown is announced, heard, and then names the last stream") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1)));
  peer.session->announce_shutdown();
  const auto frames = peer.write();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].payload.substr(0, 4) == number(0x7fffffff));
  REQUIRE(peer.receive(get(3) + frame(kPing, 1, 0, frames[1].payload)));
  CHECK(peer.has_heard);
  peer.session->shut_down();
  CHECK(peer.write(kGoaway).at(0).payload == number(3) + number(0));
  REQUIRE(peer.receive(get(5)));
  CHECK(peer.streams.count(5) == 0);
}

TEST_CASE("what was taken of an allowance comes back with time") {
  Http2Allowance allowance(20);
  for (int i = 0; i < 20; i++) CHECK(allowance.take());
  CHECK_FALSE(allowance.take());
}

TEST_CASE("resets beyond the allowance end the connection") {
  Http2Session::Options options;
  options.resets_max = 3;
  Peer peer(options);
  peer.greet();
  for (uint32_t id = 1; id < 7; id += 2) REQUIRE(peer.receive(get(id) + frame(kReset, 0, id, number(8))));
  CHECK_FALSE(peer.receive(get(7) + frame(kReset, 0, 7, number(8))));
  CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(11));
  CHECK(peer.session->is_over());
}
