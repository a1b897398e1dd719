// SPDX-License-Identifier: Apache-2.0
// One try to get an answer from one node: connect or reuse, send the request, take the answer in. Knows
// HTTP/1 framing and deadlines, knows nothing of routes, retries or plugins; those are the handler's
// (proxy/forward.cpp). A node that speaks HTTP/2 gets the request through http2_try.h.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "base/byte_queue.h"
#include "http/chunked.h"
#include "http/head.h"
#include "net/resolver.h"
#include "upstream/pool.h"

namespace moongate::http {
enum class Http2Code : uint32_t;
}

namespace moongate::upstream {

class Http2Try;

struct Timeouts {
  std::chrono::milliseconds connect{60000};
  std::chrono::milliseconds send{60000};
  std::chrono::milliseconds read{60000};
};

/// What an attempt sends. The views must live until the attempt is over.
struct AttemptRequest {
  std::string_view head;  // start line and fields, ready to send
  bool is_http2 = false;  // and the node speaks it: the head is translated
  http::Method method = http::Method::kGet;
  http::BodyKind body = http::BodyKind::kNone;  // how the body is framed on this connection
  bool wants_upgrade = false;
  std::string_view server_name;  // whose certificate is expected, when the endpoint speaks TLS
  base::Arena* arena = nullptr;  // where the response head goes
  http::ResponseHead* response = nullptr;
};

/// How far an attempt had come when it failed: decides whether another may follow.
enum class AttemptStage : uint8_t {
  kConnecting,  // nothing sent
  kSent,        // some of the request may have arrived; no answer yet
  kAnswering,   // part of the answer came
};

class AttemptHandler {
 public:
  /// The connection stands. Call send() with whatever of the body is there.
  virtual void on_attempt_ready() = 0;
  /// A 1xx head other than 101 came; `response` holds it until this returns.
  virtual void on_interim_response() = 0;
  /// The final head is in `response`; pieces of body (maybe none) follow from the same read.
  virtual void on_response_head(const iovec* pieces, int count, bool is_last) = 0;
  virtual void on_response_body(const iovec* pieces, int count, bool is_last) = 0;
  /// The connection now carries bytes both ways (101): take it with take_connection().
  virtual void on_upgraded(std::string_view first_bytes) = 0;
  /// What was queued by send() has gone out below the low watermark.
  virtual void on_attempt_drained() = 0;
  virtual void on_attempt_failed(const base::Error& error, AttemptStage stage) = 0;

 protected:
  ~AttemptHandler() = default;
};

/// One try at one node.
///
/// Shape:   embedded in the exchange and used again for each try; reads through one buffer per thread.
/// Runs in: one worker's loop; never blocks.
/// Fails:   through on_attempt_failed, once; after it, and after cancel(), nothing is called back.
class Attempt {
 public:
  explicit Attempt(AttemptHandler* handler);
  ~Attempt();

  /// Takes a kept connection or opens one. May call on_attempt_ready before it returns.
  void start(std::shared_ptr<Endpoint> endpoint, const AttemptRequest& request, const Timeouts& timeouts,
             const PoolLimits& limits);
  /// Sends the head (the first time) and pieces of body, framed as the request says. `is_last` ends the body.
  void send(const iovec* pieces, int count, bool is_last);
  /// Lines `name: value\r\n` to follow the last chunk of a chunked request body; before the piece that is
  /// last.
  void set_trailers(std::string lines);
  /// True while more waits to be sent than the high watermark.
  bool is_blocked() const;
  /// Stops and resumes taking the answer in, when the client is slower than the node.
  void pause();
  void resume();
  /// Ends it; the connection is closed unless the answer was complete.
  void cancel();

  bool is_active() const;
  bool is_ready() const;
  bool is_reused() const;
  bool has_sent_last() const;
  /// Trailer lines after on_response_body(is_last), as ChunkedDecoder::trailers().
  const std::string& trailers() const;
  /// With what a node that speaks HTTP/2 ended the stream; none where the try ended in another way.
  std::optional<http::Http2Code> reset_code() const;
  std::unique_ptr<Connection> take_connection();
  Endpoint* endpoint() const { return endpoint_.get(); }

  static constexpr size_t kUnsentHighBytes = 128 * 1024;
  static constexpr size_t kUnsentLowBytes = 32 * 1024;

 private:
  enum class State : uint8_t { kIdle, kConnecting, kHandshaking, kHead, kBody, kUpgraded };
  static void on_stream_ready(void* self);
  static void on_timeout(void* self);
  void begin_connect();
  void on_connected();
  void step_connect();
  void step_handshake();
  void read_some();
  bool take_head(std::string_view* bytes);
  bool parse_head(std::string_view head);
  void take_body(std::string_view bytes, bool is_first);
  void on_eof();
  void finish();
  void flush();
  void write_out(const iovec* pieces, int count);
  [[gnu::cold]] void fail(base::ErrorKind kind, std::string detail);
  void arm_timer();

  AttemptHandler* handler_;
  std::shared_ptr<Endpoint> endpoint_;
  std::unique_ptr<Connection> connection_;
  AttemptRequest request_;
  Timeouts timeouts_;
  PoolLimits limits_;
  net::Timer timer_;
  State state_ = State::kIdle;
  bool is_http2_ = false;            // the try is http2_'s
  std::unique_ptr<Http2Try> http2_;  // made when it is first needed
  bool is_paused_ = false;
  bool is_reused_ = false;
  bool has_sent_head_ = false;
  bool has_sent_last_ = false;
  bool is_deadline_for_sending_ = false;
  uint32_t serial_ = 0;  // changes when an attempt ends, so that callers up the stack notice
  uint32_t interim_count_ = 0;
  uint64_t body_left_ = 0;
  size_t scan_from_ = 0;
  base::ByteQueue partial_head_;
  base::ByteQueue unsent_;
  http::ChunkedDecoder decoder_;
  std::string request_trailers_;
  std::string start_fault_;  // why no connection could even be begun
};

/// The thread's buffer for reads on the data path; contents valid until the next read by anyone.
struct ReadBuffer {
  static constexpr size_t kSize = 256 * 1024;
  static constexpr int kReadsPerTurn = 4;  // of one connection; then the others have their turn
  static char* data();
};

}  // namespace moongate::upstream
