// SPDX-License-Identifier: Apache-2.0
// folder: upstream
// A node that says any frames, at any moment, to requests that share HTTP/2 connections to it. The input is a
// script of steps: a letter, a size of two bytes, and as many bytes.
//
//   S  begins a request, with a body when the byte is odd; W gives bytes of it; Z its end; P pauses, U
//   resumes, C cancels the answer: all of the request whose number is the first byte     T  time passes:
//   hundreds of milliseconds B  bytes of the node as they are      H  a head: number of the stream, flags,
//   then lines `name value`   D  a body: the same     A  any frame: type, flags, number, payload     N  the
//   node's newest connection is the one that says it (as it is), O the one before     E  the node closes G it
//   stops or starts reading
//
// What must hold: each request hears of one end and nothing after it, a head before its body, and no more
// body than was said; what the node hears are frames of a client; and when the node has gone, no request and
// no connection is left.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "../unit/proxy/peer.h"
#include "base/assert.h"
#include "base/log.h"
#include "http/http2_session.h"
#include "http2_frames.h"
#include "upstream/attempt.h"
#include "upstream/http2_link.h"

using namespace moongate;
using namespace moongate::fuzz;

namespace {

/// A request that checks what it is told.
class Request final : upstream::AttemptHandler {
 public:
  void start(const std::shared_ptr<upstream::Endpoint>& endpoint, bool has_body) {
    has_body_ = has_body;
    state_ = State::kBegun;
    is_last_given_ = !has_body;
    body_bytes_ = 0;
    upstream::AttemptRequest request;
    request.head = has_body ? "POST / HTTP/1.1\r\nHost: n\r\n\r\n" : "GET / HTTP/1.1\r\nHost: n\r\n\r\n";
    request.is_http2 = true;
    request.method = has_body ? http::Method::kPost : http::Method::kGet;
    request.body = has_body ? http::BodyKind::kChunked : http::BodyKind::kNone;
    request.arena = &arena_;
    request.response = &response_;
    const std::chrono::seconds timeout(5);
    attempt_.start(endpoint, request, {timeout, timeout, timeout}, {4, std::chrono::seconds(2), 20});
  }
  bool is_idle() const { return state_ == State::kIdle; }
  void give(std::string_view bytes, bool is_last) {
    if (is_idle() || !attempt_.is_ready() || is_last_given_ || attempt_.is_blocked()) return;
    is_last_given_ = is_last;
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    attempt_.send(&piece, bytes.empty() ? 0 : 1, is_last);
  }
  void pause() {
    if (!is_idle()) attempt_.pause();
  }
  void resume() {
    if (!is_idle()) attempt_.resume();
  }
  void cancel() {
    attempt_.cancel();
    state_ = State::kIdle;
  }

 private:
  enum class State : uint8_t { kIdle, kBegun, kReady, kBody };
  void on_attempt_ready() override {
    MG_ASSERT(state_ == State::kBegun);
    state_ = State::kReady;
    attempt_.send(nullptr, 0, !has_body_);
  }
  void on_interim_response() override { MG_ASSERT(state_ == State::kReady && response_.status < 200); }
  void on_response_head(const iovec* pieces, int count, bool is_last) override {
    MG_ASSERT(state_ == State::kReady && response_.status >= 200);
    state_ = State::kBody;
    on_response_body(pieces, count, is_last);
  }
  void on_response_body(const iovec* pieces, int count, bool is_last) override {
    MG_ASSERT(state_ == State::kBody);
    for (int i = 0; i < count; i++) body_bytes_ += pieces[i].iov_len;
    if (response_.body == http::BodyKind::kNone) MG_ASSERT(body_bytes_ == 0);
    if (response_.body == http::BodyKind::kLength) {
      MG_ASSERT(body_bytes_ <= response_.content_length);
      MG_ASSERT(!is_last || body_bytes_ == response_.content_length);
    }
    if (is_last) state_ = State::kIdle;
  }
  void on_upgraded(std::string_view) override { MG_ASSERT(false); }
  void on_attempt_drained() override { MG_ASSERT(!is_idle()); }
  void on_attempt_failed(const base::Error& error, upstream::AttemptStage stage) override {
    MG_ASSERT(!is_idle() && !error.detail.empty());
    MG_ASSERT((stage == upstream::AttemptStage::kAnswering) <= (state_ >= State::kReady));
    state_ = State::kIdle;
  }

  base::Arena arena_;
  http::ResponseHead response_{&arena_};
  upstream::Attempt attempt_{this};
  State state_ = State::kIdle;
  bool has_body_ = false, is_last_given_ = false;
  uint64_t body_bytes_ = 0;
};

/// One script: an endpoint of its own, a few requests, and the node.
class Play {
 public:
  explicit Play(net::EventLoop& loop, const net::SocketAddress& address, proxy_fixture::Origin& node)
      : loop_(loop), node_(node), endpoint_(std::make_shared<upstream::Endpoint>(loop, address)) {}

  void run(std::string_view script) {
    constexpr size_t kStepHeadBytes = 3;
    while (script.size() >= kStepHeadBytes) {
      const auto wanted =
          static_cast<size_t>(static_cast<uint8_t>(script[1]) << 8 | static_cast<uint8_t>(script[2]));
      const size_t size = std::min(wanted, script.size() - kStepHeadBytes);
      act(script[0], script.substr(kStepHeadBytes, size));
      script.remove_prefix(kStepHeadBytes + size);
      turn();
    }
  }
  void end() {
    for (Request& request : requests_) request.resume();
    for (int i = 0; i < 20; i++) {
      for (auto& connection : node_.connections) {
        check(connection->received);
        connection->close();
      }
      turn();
      pass_time(std::chrono::seconds(3));
    }
    for (const Request& request : requests_) MG_ASSERT(request.is_idle());
    MG_ASSERT(endpoint_->idle_http2_count() == 0);
    node_.connections.clear();
    base::Clock::set_offset({});
    base::Clock::refresh();
  }

 private:
  void turn() {
    node_.turn();
    for (int i = 0; i < 2; i++) {
      hurry_.schedule(loop_);
      loop_.run_once();
    }
    node_.turn();
  }
  void pass_time(base::Duration by) {
    base::Clock::set_offset(base::Clock::offset() + by);
    turn();
  }
  void say(const std::string& bytes) {
    auto& connections = node_.connections;
    if (connections.empty()) return;
    const size_t back = is_older_meant_ && connections.size() > 1 ? 2 : 1;
    connections[connections.size() - back]->send(bytes);
  }
  void act(char step, std::string_view bytes) {
    const auto byte = [&bytes](size_t i) {
      return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : uint8_t{0};
    };
    const auto after = [&bytes](size_t i) { return bytes.substr(std::min(i, bytes.size())); };
    if (step == 'B') say(std::string(bytes));
    if (step == 'H') say(make_frame(kHeaders, byte(1), byte(0), make_lines(after(2))));
    if (step == 'D') say(make_frame(kData, byte(1), byte(0), after(2)));
    if (step == 'A') say(make_frame(byte(0), byte(1), byte(2), after(3)));
    if (step == 'N' || step == 'O') is_older_meant_ = step == 'O';
    if (step == 'T') pass_time(std::chrono::milliseconds(100) * byte(0));
    if ((step == 'E' || step == 'G') && !node_.connections.empty()) {
      proxy_fixture::Peer& newest = *node_.connections.back();
      if (step == 'E') newest.close();
      if (step == 'G') newest.is_reading = !newest.is_reading;
    }
    act_on_request(step, requests_[byte(0) % requests_.size()], byte(1), after(1));
  }
  void act_on_request(char step, Request& request, uint8_t choice, std::string_view bytes) {
    if (step == 'S' && request.is_idle()) request.start(endpoint_, choice % 2 == 1);
    if (step == 'W') request.give(bytes, false);
    if (step == 'Z') request.give(bytes, true);
    if (step == 'P') request.pause();
    if (step == 'U') request.resume();
    if (step == 'C') request.cancel();
  }
  static std::string make_lines(std::string_view text) {
    std::string block;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      const size_t blank = std::min(line.find(' '), line.size());
      block += literal(line.substr(0, blank), line.substr(std::min(blank + 1, line.size())));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return block;
  }
  // What a client says: the preface, then frames; the last one may be cut.
  static void check(std::string_view heard) {
    const std::string_view preface = http::kHttp2Preface;
    const size_t begun = std::min(heard.size(), preface.size());
    MG_ASSERT(heard.substr(0, begun) == preface.substr(0, begun));
    heard.remove_prefix(begun);
    constexpr uint8_t kReset = 3, kPushPromise = 5;
    while (heard.size() >= kFrameHeadBytes) {
      const auto byte = [&heard](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(heard[i])); };
      const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
      MG_ASSERT(size <= 16384 && byte(3) != kPushPromise);
      const bool is_of_connection = (byte(5) | byte(6) | byte(7) | byte(8)) == 0;
      MG_ASSERT(is_of_connection || byte(8) % 2 == 1 || byte(3) == kReset);  // of what was pushed too early
      heard.remove_prefix(std::min(kFrameHeadBytes + size, heard.size()));
    }
  }

  net::EventLoop& loop_;
  proxy_fixture::Origin& node_;
  std::shared_ptr<upstream::Endpoint> endpoint_;
  std::array<Request, 4> requests_;
  net::Deferred hurry_{[](void*) {}, nullptr};
  bool is_older_meant_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = [] {
    base::set_log_level(base::LogLevel::kStderr);
    char name[] = "/tmp/moongate-fuzz-XXXXXX";
    MG_ASSERT(::mkdtemp(name) != nullptr);
    return std::string(name);
  }();
  static const net::SocketAddress address = *net::make_unix_address(folder + "/node");
  static const std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  static proxy_fixture::Origin node(address);
  static const struct Cleaner {
    ~Cleaner() { std::filesystem::remove_all(folder); }
  } cleaner;
  Play play(*loop, address, node);
  play.run(std::string_view(reinterpret_cast<const char*>(data), size));
  play.end();
  return 0;
}
