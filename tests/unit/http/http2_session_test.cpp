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
struct Stream final : StreamHandler {
  void on_data(std::string_view bytes) override { body += bytes; }
  void on_last() override { has_ended = true; }
  void on_fields(const Http2FieldBlock& block, bool) override { trailers = block.text(); }
  StreamOffer offer_data(size_t size_max) override {
    const size_t size = std::min(size_max, answer.size());
    return {size, is_answer_whole && size == answer.size(), false};
  }
  void take_data(size_t size, std::string* out) override {
    out->append(answer, 0, size);
    answer.erase(0, size);
  }
  void on_frame_sent(size_t size_bytes) override { sent_bytes += size_bytes; }
  void on_closed(Http2Code code) override {
    end_code = code;
    ended = code == Http2Code::kNoError ? "complete" : "broken";
  }

  std::string body, trailers, answer, ended;
  Http2Code end_code = Http2Code::kNoError;
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

TEST_CASE("DATA of a stream that the client has ended ends the connection, however it is cut") {
  const std::string data = frame(kData, 1, 1, "x");
  for (size_t cut = 0; cut < data.size(); cut++) {
    Peer peer;
    peer.greet();
    REQUIRE(peer.receive(get(1)));
    peer.session->send_head(1, 204, FieldList(&arena), false);
    peer.write();
    REQUIRE(peer.streams.at(1).ended == "complete");
    const bool is_fine = peer.receive(get(3) + data.substr(0, cut)) && peer.receive(data.substr(cut));
    CHECK_FALSE(is_fine);
    CHECK(peer.write(kGoaway).at(0).payload == number(3) + number(5));  // what came before has been looked at
  }
}

TEST_CASE(
    "DATA that was on its way to a stream that was reset is no fault until its end, and empty pieces are "
    "few") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4) + get(3, 4)));
  peer.session->reset(1, Http2Code::kCancel);
  peer.session->reset(3, Http2Code::kCancel);
  peer.write();
  size_t updates = 0;
  for (int i = 0; i < 100; i++) {  // more than the connection's window
    REQUIRE(peer.receive(frame(kData, 0, 1, std::string(16384, 'x'))));
    updates += peer.write(kWindowUpdate).size();
  }
  CHECK(updates > 0);
  REQUIRE(peer.receive(frame(kData, 1, 1, "x")));
  SECTION("another piece behind the end") {
    CHECK_FALSE(peer.receive(frame(kData, 0, 1, "x")));
    CHECK(peer.write(kGoaway).at(0).payload.substr(4) == number(5));
  }
  SECTION("many small pieces") {
    for (int i = 0; i < 5000; i++) REQUIRE(peer.receive(frame(kData, 0, 3, "x")));
  }
  SECTION("empty pieces without end") {
    int count = 0;
    while (count < 2000 && peer.receive(frame(kData, 0, 3, ""))) count++;
    CHECK(count < 1100);
    CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(11));
  }
}

TEST_CASE("DATA of a stream that both sides have ended is never forgiven, however many came after it") {
  Peer peer;
  peer.greet();
  for (uint32_t stream = 1; stream < 4000; stream += 2) {
    REQUIRE(peer.receive(get(stream)));
    peer.session->send_head(static_cast<int32_t>(stream), 204, FieldList(&arena), false);
    peer.write();
  }
  SECTION("a body") { CHECK_FALSE(peer.receive(frame(kData, 1, 1, "x"))); }
  SECTION("a body right behind its head") { CHECK_FALSE(peer.receive(get(1, 4) + frame(kData, 1, 1, "x"))); }
  CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(5));
}

TEST_CASE("what was on its way when a stream was reset is no fault, however many came after it") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4)));
  for (uint32_t stream = 3; stream < 4000; stream += 2) {
    REQUIRE(peer.receive(get(stream)));
    peer.session->send_head(static_cast<int32_t>(stream), 204, FieldList(&arena), false);
    peer.write();
  }
  peer.session->reset(1, Http2Code::kInternalError);
  peer.write();
  CHECK(peer.receive(frame(kData, 0, 1, "x")));
  SECTION("padding that fits") { CHECK(peer.receive(frame(kData, 8, 1, std::string("\3pad", 4)))); }
  SECTION("padding as long as its frame") {
    CHECK_FALSE(peer.receive(frame(kData, 8, 1, std::string("\4pad", 4))));
    CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(1));
  }
  SECTION("the end and something behind it") {
    CHECK(peer.receive(get(1)));  // trailers
    CHECK_FALSE(peer.receive(frame(kData, 1, 1, "x")));
    CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(5));
  }
}

TEST_CASE("a stream that is refused, or comes behind the last one, may have its body on the way") {
  Http2Session::Options options;
  options.streams_max = 1;
  Peer peer(options);
  REQUIRE(peer.receive(std::string(kHttp2Preface) + frame(kSettings, 0, 0)));  // and has not seen ours
  REQUIRE(peer.receive(get(1, 4)));
  REQUIRE(peer.receive(get(3, 4)));
  CHECK(peer.write(kReset).at(0).payload == number(7));
  CHECK(peer.receive(frame(kData, 0, 3, "x")));
  peer.session->shut_down();
  CHECK(peer.write(kGoaway).at(0).payload.substr(4, 4) == number(0));
  CHECK(peer.receive(get(5, 4) + frame(kData, 0, 5, "x")));
  CHECK(peer.receive(frame(kData, 1, 5, "x") + get(7, 5)));
  CHECK(peer.write(kGoaway).empty());
  CHECK(peer.receive(frame(kData, 1, 1, "x")));
  CHECK(peer.streams.at(1).has_ended);
}

TEST_CASE("bodies of refused streams may come with their heads, of more streams than there may be") {
  Http2Session::Options options;
  options.streams_max = 2;
  Peer peer(options);
  std::string flight = std::string(kHttp2Preface) + frame(kSettings, 0, 0);
  for (uint32_t stream = 1; stream < 400; stream += 2) flight += get(stream, 4);
  for (uint32_t stream = 1; stream < 400; stream += 2)
    flight += frame(kData, 0, stream, "x") + frame(kData, 1, stream, "y");
  CHECK(peer.receive(flight));
  CHECK(peer.streams.at(1).body == "xy");
  CHECK(peer.streams.at(3).has_ended);
  CHECK(peer.write(kReset).size() == 198);
  SECTION("once they have ended they have ended") { CHECK_FALSE(peer.receive(frame(kData, 0, 5, "x"))); }
  SECTION("trailers too") { CHECK_FALSE(peer.receive(get(5))); }
}

TEST_CASE("a reset of a stream that the client has cancelled forgives it nothing") {
  Peer peer;
  peer.greet();
  REQUIRE(peer.receive(get(1, 4) + frame(kReset, 0, 1, number(8))));
  peer.session->reset(1, Http2Code::kCancel);
  peer.write();
  CHECK_FALSE(peer.receive(frame(kData, 0, 1, "x")));
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

namespace {

/// The client's end of a connection, against a server that the test plays.
struct Client final : Http2Handler {
  Client() : session(Http2Session::make_client(*this, {})) {}
  void on_stream(int32_t, const Http2FieldBlock&, bool) override { has_foreign_stream = true; }
  void on_shutdown_heard() override {}
  void on_settings() override { has_settings = true; }
  void on_peer_leaving() override { is_peer_leaving = true; }

  std::string write() {
    std::string out;
    session->write(&out, 1 << 20);
    return out;
  }
  void greet() {
    REQUIRE(write().starts_with(kHttp2Preface));
    REQUIRE(session->receive(frame(kSettings, 0, 0, std::string("\0\3", 2) + number(7)) +
                             frame(kSettings, 1, 0)));
    write();
  }
  int32_t request(bool has_body = false) {
    return session->send_request(
        "POST /a?b HTTP/1.1\r\nHost: a.test\r\nX-Upper: 1\r\nTE: trailers\r\nConnection: TE\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "http", has_body, &stream);
  }
  Stream stream;
  bool has_foreign_stream = false, has_settings = false, is_peer_leaving = false;
  std::unique_ptr<Http2Session> session;
};

std::string answer_head(uint32_t stream, uint8_t flags, const std::string& status = "200") {
  return frame(kHeaders, flags, stream, literal(":status", status));
}

}  // namespace

TEST_CASE("a client hears what the server allows") {
  Client client;
  client.greet();
  CHECK(client.has_settings);
  CHECK(client.session->peer_streams_max() == 7);
}

TEST_CASE("a head of HTTP/1 is sent as a block that a server reads as the same request") {
  Client client;
  Peer server;
  REQUIRE(client.request() == 1);
  struct Reader final : Http2Handler {
    void on_stream(int32_t, const Http2FieldBlock& block, bool) override { text = block.text(); }
    void on_shutdown_heard() override {}
    std::string text;
  } reader;
  auto session = Http2Session::make_server(reader, {});
  REQUIRE(session->receive(client.write()));
  CHECK(reader.text ==
        ":method: POST\r\n:scheme: http\r\n:path: /a?b\r\n:authority: a.test\r\nx-upper: 1\r\nte: "
        "trailers\r\n");
}

TEST_CASE("a client gets interim heads, the head, the body and the trailers of an answer, in order") {
  Client client;
  client.greet();
  client.request();
  client.write();
  REQUIRE(client.session->receive(answer_head(1, 4, "103")));
  CHECK(client.stream.trailers == ":status: 103\r\n");
  REQUIRE(client.session->receive(answer_head(1, 4)));
  CHECK(client.stream.trailers == ":status: 200\r\n");
  REQUIRE(client.session->receive(frame(kData, 0, 1, "hello")));
  CHECK(client.stream.body == "hello");
  CHECK_FALSE(client.stream.has_ended);
  REQUIRE(client.session->receive(frame(kHeaders, 5, 1, literal("grpc-status", "0"))));
  CHECK(client.stream.trailers == "grpc-status: 0\r\n");
  CHECK(client.stream.has_ended);
  CHECK(client.stream.ended == "complete");
}

TEST_CASE("a client's answer that comes early does not reset the stream, the server's end does") {
  Client client;
  client.greet();
  client.stream.is_answer_whole = false;
  client.request(true);
  client.write();
  REQUIRE(client.session->receive(answer_head(1, 5)));
  CHECK(client.stream.has_ended);
  CHECK(client.stream.ended.empty());
  REQUIRE(client.session->receive(frame(kReset, 0, 1, number(0))));
  CHECK(client.stream.ended == "complete");
}

TEST_CASE("streams above the last of a GOAWAY are refused, the others go on") {
  Client client;
  client.greet();
  client.request();
  Stream second;
  CHECK(client.session->send_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http", false, &second) == 3);
  client.write();
  REQUIRE(client.session->receive(frame(kGoaway, 0, 0, number(1) + number(0))));
  CHECK(client.is_peer_leaving);
  CHECK(second.end_code == Http2Code::kRefusedStream);
  CHECK(client.stream.ended.empty());
  REQUIRE(client.session->receive(answer_head(1, 5)));
  CHECK(client.stream.ended == "complete");
  CHECK_FALSE(client.session->wants_input());
}

TEST_CASE("a client's connection window opens as bytes come, a stream's as they are consumed") {
  Client client;
  client.greet();
  client.request();
  client.write();
  std::string bytes = answer_head(1, 4);
  for (int i = 0; i < 7; i++) bytes += frame(kData, 0, 1, std::string(16384, 'x'));
  Stream other;
  client.session->send_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http", false, &other);
  client.write();
  bytes += answer_head(3, 4);
  for (int i = 0; i < 7; i++) bytes += frame(kData, 0, 3, std::string(16384, 'x'));
  for (int i = 0; i < 4; i++) {
    client.session->send_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http", false, &other);
    client.write();
    const auto id = static_cast<uint32_t>(5 + 2 * i);
    bytes += answer_head(id, 4);
    for (int j = 0; j < 7; j++) bytes += frame(kData, 0, id, std::string(16384, 'x'));
  }
  REQUIRE(client.session->receive(bytes));
  const std::string before = client.write();
  CHECK(before.find(frame(kWindowUpdate, 0, 0).substr(3, 6)) != std::string::npos);
  CHECK(before.find(frame(kWindowUpdate, 0, 1).substr(3, 6)) == std::string::npos);
  client.session->consume(1, client.stream.body.size());
  CHECK(client.write().find(frame(kWindowUpdate, 0, 1).substr(3, 6)) != std::string::npos);
}

TEST_CASE("a server that opens streams, floods or speaks something else ends the connection") {
  Client client;
  client.greet();
  client.request();
  client.write();
  SECTION("a push") {
    client.session->receive(frame(5, 4, 1, number(2) + literal(":method", "GET")));
    client.write();
    CHECK_FALSE(client.session->wants_input());
    CHECK_FALSE(client.has_foreign_stream);
  }
  SECTION("a flood") {
    std::string pings;
    for (int i = 0; i < 2000; i++) pings += frame(kPing, 0, 0, "12345678");
    CHECK_FALSE(client.session->receive(pings));
    CHECK(client.session->fault() == "too many idle frames");
  }
  SECTION("HTTP/1") {
    Client fresh;
    fresh.write();
    fresh.session->receive("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    fresh.write();
    CHECK_FALSE(fresh.session->wants_input());
  }
}
