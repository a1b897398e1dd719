// SPDX-License-Identifier: Apache-2.0
// What an attempt is when the node speaks HTTP/2: one stream of a connection that others use too
// (http2_link.h). attempt.h hands over to it; its rules and those whom it tells are the same.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "upstream/attempt.h"
#include "upstream/http2_link.h"

namespace moongate::upstream {

/// One request on a stream.
///
/// Shape:   two queues: of the request what the node's windows did not let out, of the answer what came while
///          nobody wanted it (a window's worth at most). The beginning of a request is kept until an answer
///          comes: what the node says it has not looked at goes to it again, over another connection.
/// Runs in: one worker's loop; never blocks.
/// Fails:   through on_attempt_failed, once, as Attempt.
class Http2Try final : public Http2LinkUser, public http::StreamHandler {
 public:
  explicit Http2Try(AttemptHandler* handler) : handler_(handler), timer_(on_timeout, this) {}
  ~Http2Try() { cancel(); }

  void start(const std::shared_ptr<Endpoint>& endpoint, const AttemptRequest& request,
             const Timeouts& timeouts, const PoolLimits& limits);
  void send(const iovec* pieces, int count, bool is_last);
  void set_trailers(std::string lines) { request_trailers_ = std::move(lines); }
  bool is_blocked() const { return pending_.size() > Attempt::kUnsentHighBytes; }
  void pause() { is_paused_ = true; }
  void resume();
  void cancel();

  bool is_active() const { return state_ != State::kIdle; }
  bool is_ready() const { return state_ > State::kWaiting; }
  bool is_reused() const { return is_reused_; }
  bool has_sent_last() const { return has_sent_last_; }
  const std::string& trailers() const { return trailers_; }
  std::optional<http::Http2Code> reset_code() const { return reset_code_; }

  void on_link_ready() override;
  void on_link_full() override;
  void on_link_lost(base::ErrorKind kind, const std::string& detail) override;
  void on_link_drained() override;
  bool is_unsent() const override { return stream_ != 0 && !has_begun_frames_; }

  void on_data(std::string_view bytes) override;
  void on_last() override;
  void on_fields(const http::Http2FieldBlock& block, bool is_last) override;
  http::StreamOffer offer_data(size_t size_max) override;
  void take_data(size_t size, std::string* out) override;
  void on_frame_sent(size_t size_bytes) override;
  void on_closed(http::Http2Code code) override;

 private:
  enum class State : uint8_t { kIdle, kWaiting, kHead, kBody };
  static void on_timeout(void* self);
  void join();
  void open_stream(bool has_body);
  bool try_again();
  bool take_response(const http::Http2FieldBlock& block, bool is_last);
  bool count_body(size_t size);
  void deliver(std::string_view bytes, bool is_last);
  void end_answer();
  void finish();
  void detach();
  void stop_keeping();
  void arm_timer();
  [[gnu::cold]] void fail(base::ErrorKind kind, std::string detail);

  static constexpr size_t kKeptMaxBytes = 64 * 1024;
  static constexpr uint32_t kAgainMax = 3;

  AttemptHandler* handler_;
  std::shared_ptr<Endpoint> endpoint_;
  std::shared_ptr<Http2Link> link_;
  AttemptRequest request_;
  Timeouts timeouts_;
  PoolLimits limits_;
  net::Timer timer_;
  State state_ = State::kIdle;
  int32_t stream_ = 0;  // 0 before there is one
  uint32_t again_count_ = 0;
  uint32_t interim_count_ = 0;
  bool is_paused_ = false;
  bool is_reused_ = false;
  bool is_handed_over_ = false;  // send() was called
  bool has_sent_last_ = false;
  bool has_begun_frames_ = false;  // of this stream
  bool has_framed_end_ = false;    // of the request
  uint64_t heard_count_ = 0;       // of the link, when the timer was started
  bool is_keeping_ = false;        // `kept_` is all that was sent
  bool was_blocked_ = false;
  bool is_head_told_ = false;
  bool is_answer_whole_ = false;  // and waits for resume()
  bool is_deadline_for_sending_ = false;
  uint64_t body_left_ = 0;
  base::ByteQueue pending_;
  base::ByteQueue kept_;
  base::ByteQueue held_;
  std::string request_trailers_;
  std::string trailers_;
  std::optional<http::Http2Code> reset_code_;  // with which the node ended the stream
};

}  // namespace moongate::upstream
