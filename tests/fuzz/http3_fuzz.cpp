// SPDX-License-Identifier: Apache-2.0
// folder: quic
// A client that says anything on the streams of an HTTP/3 connection, in any pieces and any order. The input
// is a script of steps: a letter, the number of a stream, and a size of one byte with as many bytes.
//
//   S  bytes   L  the same, and the stream's end   H  a request's head: path and fields as text   C  a
//   cancelled stream W  the packets go out, and `size` of each answer is acknowledged
//
// What must hold: no window is opened for bytes that did not come; what a stream is told ends with its close;
// and when all streams are closed every byte was given back.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <nghttp3/nghttp3.h>

#include "base/arena.h"
#include "base/assert.h"
#include "http3_frames.h"
#include "quic/http3_session.h"

using namespace moongate;
using namespace moongate::fuzz;

namespace {

struct Answer final : http::StreamHandler {
  void on_data(std::string_view bytes) override {
    MG_ASSERT(!is_closed);
    session->consume(id, bytes.size());
    left += bytes.size();
    session->resume(id);
  }
  void on_last() override {
    MG_ASSERT(!is_closed && !has_ended);
    has_ended = true;
    session->resume(id);
  }
  void on_fields(const http::Http2FieldBlock&, bool) override { MG_ASSERT(!is_closed); }
  http::StreamOffer offer_data(size_t size_max) override {
    MG_ASSERT(!is_closed);
    const size_t size = std::min(size_max, left);
    return {size, has_ended && size == left, false};
  }
  void take_data(size_t size, std::string* out) override {
    out->append(size, 'x');
    left -= size;
  }
  void on_frame_sent(size_t) override { MG_ASSERT(!is_closed); }
  void on_closed(http::Http2Code) override {
    MG_ASSERT(!is_closed);
    is_closed = true;
  }

  quic::Http3Session* session = nullptr;
  int64_t id = 0;
  size_t left = 0;
  bool has_ended = false, is_closed = false;
};

class Play final : quic::Http3Transport, quic::Http3Handler {
 public:
  Play() : session_(*this, *this, options()) { is_over_ = !session_.start(3, 7, 11, 64); }

  void run(std::string_view script) {
    constexpr size_t kStepHeadBytes = 3;
    while (script.size() >= kStepHeadBytes && !is_over_) {
      const size_t size = std::min<size_t>(static_cast<uint8_t>(script[2]), script.size() - kStepHeadBytes);
      act(script[0], static_cast<uint8_t>(script[1]), script.substr(kStepHeadBytes, size), size);
      script.remove_prefix(kStepHeadBytes + size);
      close_cut();
    }
    for (const auto& [id, is_open] : streams_) {
      if (is_open) session_.note_closed(id);
    }
    for (const auto& [id, answer] : answers_) MG_ASSERT(answer->is_closed);
    MG_ASSERT(opened_ <= received_);
  }

 private:
  static quic::Http3Session::Options options() {
    quic::Http3Session::Options options;
    options.head = {8192, 100};
    return options;
  }
  // A client's streams: 0, 4, 8 for requests; 2, 6, 10 for its own.
  void act(char step, uint8_t number, std::string_view bytes, size_t size) {
    const int64_t id = int64_t{number % 16} * 2;
    if (step == 'S') say(id, bytes, false);
    if (step == 'L') say(id, bytes, true);
    if (step == 'H') say(id, make_head(bytes), false);
    if (step == 'W') pump(size);
    const auto stream = streams_.find(id);
    if (step == 'C' && stream != streams_.end() && stream->second && id % 4 == 0)
      is_over_ = !session_.note_cancelled(id);
  }
  void say(int64_t id, std::string_view bytes, bool is_last) {
    const auto [stream, is_new] = streams_.emplace(id, true);
    if (!stream->second || ended_[id]) return;
    ended_[id] = is_last;
    if (is_new && id % 4 == 0) is_over_ |= !session_.note_begun(id);
    received_ += bytes.size();
    is_over_ = !session_.receive(id, bytes, is_last);
  }
  void pump(size_t acknowledged_max) {
    for (int i = 0; i < 64 && !is_over_; i++) {
      nghttp3_vec pieces[quic::Http3Session::kPiecesMax];
      quic::Http3Session::Next next;
      is_over_ = !session_.find_next(&next, pieces);
      if (is_over_ || next.stream < 0) return;
      size_t size = 0;
      for (size_t k = 0; k < next.count; k++) size += pieces[k].len;
      is_over_ = !session_.note_written(next.stream, size, next.is_last);
      if (!is_over_)
        is_over_ = !session_.note_acknowledged(next.stream, std::min(size, acknowledged_max * 64));
    }
  }
  void close_cut() {
    while (!cut_.empty() && !is_over_) {
      const int64_t id = cut_.back();
      cut_.pop_back();
      const auto stream = streams_.find(id);
      if (stream == streams_.end() || !stream->second) continue;
      stream->second = false;
      is_over_ = !session_.note_closed(id);
    }
  }

  void open_windows(int64_t, size_t size) override { opened_ += size; }
  void open_window(size_t size) override { opened_ += size; }
  void cut(int64_t stream, uint64_t) override { cut_.push_back(stream); }
  void stop_input(int64_t, uint64_t) override {}

  void on_stream(int64_t stream, const http::Http2FieldBlock& block, bool) override {
    auto& answer = answers_[stream] = std::make_unique<Answer>();
    answer->session = &session_;
    answer->id = stream;
    session_.attach(stream, answer.get());
    base::Arena arena;
    http::RequestHead head(&arena);
    http::HeadFault fault;
    const bool is_fine = http::parse_http2_request(block, false, options().head, &arena, &head, &fault);
    session_.send_head(stream, is_fine ? 200 : fault.status, http::FieldList(&arena), true);
  }

  std::map<int64_t, bool> streams_, ended_;
  std::map<int64_t, std::unique_ptr<Answer>> answers_;
  std::vector<int64_t> cut_;
  size_t received_ = 0, opened_ = 0;
  bool is_over_ = false;
  quic::Http3Session session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play play;
  play.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
