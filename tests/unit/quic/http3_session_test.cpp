// SPDX-License-Identifier: Apache-2.0
// Requests and answers on streams, without packets.
#include "quic/http3_session.h"

#include <nghttp3/nghttp3.h>

#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <string>

#include "../../fuzz/http3_frames.h"
#include "base/arena.h"

using namespace moongate;
using namespace moongate::quic;

namespace {

struct Stream final : http::StreamHandler {
  void on_data(std::string_view bytes) override { received += bytes; }
  void on_last() override { has_ended = true; }
  void on_malformed(std::string_view reason) override { fault = reason; }
  void on_fields(const http::Http2FieldBlock& block, bool) override { trailers = block.text(); }
  http::StreamOffer offer_data(size_t size_max) override {
    return {std::min(size_max, answer.size()), answer.size() <= size_max, false};
  }
  void take_data(size_t size, std::string* out) override {
    out->append(answer, 0, size);
    answer.erase(0, size);
  }
  void on_frame_sent(size_t size) override { sent_bytes += size; }
  void on_closed(http::Http2Code code) override { closed = code; }

  std::string received, answer, trailers, head, fault;
  size_t sent_bytes = 0;
  bool has_ended = false;
  std::optional<http::Http2Code> closed;
};

/// A session whose streams carry what the test says.
struct Wire final : Http3Transport, Http3Handler {
  explicit Wire(uint32_t resets_max = 200) {
    Http3Session::Options options;
    options.head = {4096, 50};
    options.resets_max = resets_max;
    session = std::make_unique<Http3Session>(*this, *this, options);
    REQUIRE(session->start(3, 7, 11, 100));
    REQUIRE(session->receive(2, std::string("\0\4\0", 3), false));
  }
  void open_windows(int64_t, size_t size) override { opened += size; }
  void open_window(size_t size) override { opened += size; }
  void cut(int64_t stream, uint64_t code) override { cuts[stream] = code; }
  void stop_input(int64_t stream, uint64_t code) override { stops[stream] = code; }
  void on_stream(int64_t id, const http::Http2FieldBlock& block, bool) override {
    session->attach(id, &streams[id]);
    streams[id].head = block.text();
    is_too_large |= block.is_too_large();
  }
  bool say(int64_t id, const std::string& bytes, bool is_last = false) {
    return session->receive(id, bytes, is_last);
  }
  bool ask(int64_t id, bool is_last = true) {
    if (!session->note_begun(id)) return false;
    return say(id, fuzz::make_head("path"), is_last);
  }
  void respond(int64_t id, std::string body) {
    base::Arena arena;
    streams[id].answer = std::move(body);
    session->send_head(id, 200, http::FieldList(&arena), true);
  }
  /// Everything that may be written now, by stream.
  std::map<int64_t, std::string> write() {
    std::map<int64_t, std::string> out;
    for (;;) {
      nghttp3_vec pieces[Http3Session::kPiecesMax];
      Http3Session::Next next;
      REQUIRE(session->find_next(&next, pieces));
      if (next.stream < 0) return out;
      std::string bytes;
      for (size_t i = 0; i < next.count; i++)
        bytes.append(reinterpret_cast<char*>(pieces[i].base), pieces[i].len);
      REQUIRE(session->note_written(next.stream, bytes.size(), next.is_last));
      out[next.stream] += bytes;
    }
  }

  std::map<int64_t, Stream> streams;
  std::map<int64_t, uint64_t> cuts, stops;
  size_t opened = 0;
  bool is_too_large = false;
  std::unique_ptr<Http3Session> session;
};

uint64_t number(Http3Code code) { return static_cast<uint64_t>(code); }

}  // namespace

TEST_CASE("a request and its body arrive in whatever pieces they come") {
  Wire wire;
  REQUIRE(wire.session->note_begun(0));
  const std::string bytes = fuzz::make_head("path\nx-a b") + std::string("\0\5hello\1\10\0\0", 11) +
                            "\x23"
                            "abc\1z";
  for (const char c : bytes) REQUIRE(wire.say(0, std::string(1, c)));
  REQUIRE(wire.say(0, "", true));
  const Stream& stream = wire.streams.at(0);
  CHECK(stream.head == ":method: GET\r\n:scheme: https\r\n:authority: a\r\n:path: /path\r\nx-a: b\r\n");
  CHECK(stream.received == "hello");
  CHECK(stream.trailers == "abc: z\r\n");
  CHECK(stream.has_ended);
}

TEST_CASE("the window of a body opens when it has been dealt with") {
  Wire wire;
  REQUIRE(wire.ask(0, false));
  const size_t before = wire.opened;
  REQUIRE(wire.say(0, std::string("\0\5hello", 7)));
  CHECK(wire.opened == before + 2);
  wire.session->consume(0, 5);
  CHECK(wire.opened == before + 7);
}

TEST_CASE("an answer is whole, and its bytes stay where they are until they are acknowledged") {
  Wire wire;
  REQUIRE(wire.ask(0));
  wire.write();
  const std::string body(100'000, 'x');
  wire.respond(0, body);
  const std::string sent = wire.write()[0];
  CHECK(sent.size() > body.size());
  CHECK(wire.streams[0].sent_bytes == sent.size());
  REQUIRE(wire.session->note_acknowledged(0, sent.size()));
  wire.session->note_closed(0);
  CHECK(wire.streams[0].closed == http::Http2Code::kNoError);
}

TEST_CASE("an answer that is whole before its request asks for no more of that") {
  Wire wire;
  REQUIRE(wire.ask(0, false));
  wire.respond(0, "no");
  wire.write();
  CHECK(wire.stops.at(0) == number(Http3Code::kNoError));
  wire.session->note_closed(0);
  CHECK(wire.streams[0].closed == http::Http2Code::kNoError);
}

TEST_CASE("who cancels request after request is sent away") {
  Wire wire(10);
  for (int64_t id = 0; id < 40; id += 4) {
    REQUIRE(wire.ask(id));
    REQUIRE(wire.session->note_cancelled(id));
    CHECK(wire.streams[id].closed == http::Http2Code::kCancel);
    CHECK(wire.cuts.at(id) == number(Http3Code::kRequestCancelled));
  }
  REQUIRE(wire.ask(40));
  CHECK_FALSE(wire.session->note_cancelled(40));
  CHECK(wire.session->code() == number(Http3Code::kExcessiveLoad));
}

TEST_CASE("streams that end because the client wants no answer count as cancelled") {
  Wire wire(10);
  for (int64_t id = 0; id < 40; id += 4) {
    REQUIRE(wire.ask(id));
    REQUIRE(wire.session->note_closed(id));
  }
  REQUIRE(wire.ask(40));
  CHECK_FALSE(wire.session->note_closed(40));
}

TEST_CASE(
    "a stream that was reset is over for its handler without the client's word, and not while frames are "
    "made") {
  Wire wire;
  REQUIRE(wire.ask(0, false));
  wire.respond(0, "no");
  wire.session->reset(0, http::Http2Code::kInternalError);
  CHECK_FALSE(wire.streams[0].closed);
  wire.session->tell_ended();
  CHECK(wire.streams[0].closed == http::Http2Code::kInternalError);
  REQUIRE(wire.session->note_closed(0));
}

TEST_CASE("streams that are cancelled before they begin leave nothing and are counted") {
  Wire wire(10);
  for (int64_t id = 0; id < 40; id += 4) REQUIRE(wire.session->note_cancelled(id));
  CHECK_FALSE(wire.session->note_cancelled(40));
}

TEST_CASE("a body that differs from its length fails its stream alone") {
  Wire wire;
  const std::string head(
      "\1\15\0\0\xd1\xd7\x50\1a\x51\1/\x54\1"
      "3",
      15);  // content-length: 3
  for (const int64_t id : {0, 4}) {
    REQUIRE(wire.session->note_begun(id));
    REQUIRE(wire.say(id, head));
  }
  const size_t before = wire.opened;
  REQUIRE(wire.say(0, std::string("\0\5hello", 7)));
  CHECK(wire.opened == before + 7);
  CHECK(wire.stops.at(0) == number(Http3Code::kMessageError));
  CHECK(wire.streams[0].fault != "");
  REQUIRE(wire.say(4, std::string("\0\2he", 4), true));
  CHECK(wire.streams[4].fault != "");
  CHECK_FALSE(wire.streams[4].has_ended);
}

TEST_CASE("a request whose fields do not come is cancelled, and the others go on") {
  Wire wire;
  REQUIRE(wire.session->note_begun(0));
  REQUIRE(wire.say(0, fuzz::make_head("path").substr(0, 5)));
  REQUIRE(wire.ask(4));
  const base::SteadyTime now = base::Clock::steady();
  CHECK(wire.session->drop_slow_heads(now));
  CHECK(wire.cuts.empty());
  CHECK_FALSE(wire.session->drop_slow_heads(now + std::chrono::nanoseconds(1)));
  CHECK(wire.cuts == std::map<int64_t, uint64_t>{{0, number(Http3Code::kRequestIncomplete)}});
}

TEST_CASE("fields beyond the limit are told apart, fields without end end the connection") {
  Wire wire;
  REQUIRE(wire.session->note_begun(0));
  std::string field =
      "\x23"
      "abc"
      "\x7f\x69";  // a value of 232 bytes
  field += std::string(232, 'v');
  std::string block("\0\0\xd1\xd7\x50\1a\x51\1/", 10);
  for (int i = 0; i < 20; i++) block += field;
  const auto frame = [](const std::string& of) {
    std::string head("\1\x80", 2);
    for (int shift = 16; shift >= 0; shift -= 8) head += static_cast<char>(of.size() >> shift);
    return head + of;
  };
  REQUIRE(wire.say(0, frame(block)));
  CHECK(wire.is_too_large);
  for (int i = 0; i < 400; i++) block += field;
  REQUIRE(wire.session->note_begun(4));
  CHECK_FALSE(wire.say(4, frame(block)));
  CHECK(wire.session->code() == number(Http3Code::kExcessiveLoad));
}

TEST_CASE("frames that may not be there end the connection with their code") {
  Wire wire;
  REQUIRE(wire.session->note_begun(0));
  CHECK_FALSE(wire.say(0, std::string("\0\5hello", 7)));  // DATA before HEADERS
  CHECK(wire.session->code() == NGHTTP3_H3_FRAME_UNEXPECTED);
}
