// SPDX-License-Identifier: Apache-2.0
#include "upstream/http2_try.h"

namespace moongate::upstream {

using base::ErrorKind;
using http::BodyKind;
using http::Http2Code;

namespace {
constexpr http::HeadLimits kHeadLimits{64 * 1024, 200};
constexpr uint32_t kInterimMax = 32;
}  // namespace

void Http2Try::start(const std::shared_ptr<Endpoint>& endpoint, const AttemptRequest& request,
                     const Timeouts& timeouts, const PoolLimits& limits) {
  MG_ASSERT(state_ == State::kIdle);
  endpoint_ = endpoint;
  request_ = request;
  timeouts_ = timeouts;
  limits_ = limits;
  is_paused_ = is_handed_over_ = has_sent_last_ = was_blocked_ = false;
  is_head_told_ = is_answer_whole_ = false;
  is_keeping_ = true;
  again_count_ = interim_count_ = 0;
  request_trailers_.clear();
  trailers_.clear();
  join();
}

void Http2Try::join() {
  state_ = State::kWaiting;
  stream_ = 0;
  has_begun_frames_ = false;
  reset_code_.reset();
  link_ = endpoint_->join_http2(request_.server_name, limits_);
  link_->join(this);
  is_reused_ = link_->is_open();
  if (is_reused_) return on_link_ready();
  if (!timer_.is_running()) timer_.start(endpoint_->loop().timers(), timeouts_.connect);
}

void Http2Try::on_link_ready() {
  state_ = State::kHead;
  timer_.stop();
  if (!is_handed_over_) return handler_->on_attempt_ready();
  open_stream(true);                                        // again
  if (link_ && !has_sent_last_) link_->note_drained(this);  // nobody read on while there was no stream
}

void Http2Try::open_stream(bool has_body) {
  has_framed_end_ = !has_body;
  stream_ = link_->send_request(request_.head, has_body, this);
  arm_timer();
  if (stream_ == 0 && !try_again())
    fail(ErrorKind::kClosed, "the upstream's connection takes no more requests");
}

void Http2Try::send(const iovec* pieces, int count, bool is_last) {
  for (int i = 0; i < count; i++)
    pending_.append({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len});
  has_sent_last_ |= is_last;
  was_blocked_ |= is_blocked();
  if (!is_handed_over_) {
    is_handed_over_ = true;
    return open_stream(!is_last || !pending_.is_empty() || !request_trailers_.empty());
  }
  if (stream_ == 0) return;  // on its way to another connection
  link_->session().resume(stream_);
  link_->flush_later();
  arm_timer();
}

// As Attempt's: the send timeout while something waits, the read timeout once all is sent.
void Http2Try::arm_timer() {
  heard_count_ = link_ ? link_->heard_count() : 0;
  is_deadline_for_sending_ = !pending_.is_empty() || !has_begun_frames_;
  if (!is_deadline_for_sending_ && !has_sent_last_) return timer_.stop();
  timer_.start(endpoint_->loop().timers(), is_deadline_for_sending_ ? timeouts_.send : timeouts_.read);
}

http::StreamOffer Http2Try::offer_data(size_t size_max) {
  http::StreamOffer offer;
  offer.size = std::min(size_max, pending_.size());
  offer.is_last = has_sent_last_ && offer.size == pending_.size();
  offer.has_trailers = offer.is_last && !request_trailers_.empty();
  has_framed_end_ |= offer.is_last;
  if (offer.has_trailers) link_->session().send_trailers(stream_, request_trailers_);
  return offer;
}

void Http2Try::take_data(size_t size, std::string* out) {
  const std::string_view bytes = pending_.view().substr(0, size);
  out->append(bytes);
  if (is_keeping_ && kept_.size() + size > kKeptMaxBytes) stop_keeping();
  if (is_keeping_) kept_.append(bytes);
  pending_.consume(size);
  if (!was_blocked_ || pending_.size() > Attempt::kUnsentLowBytes) return;
  was_blocked_ = false;
  link_->note_drained(this);
}

void Http2Try::on_frame_sent(size_t) {
  has_begun_frames_ = true;
  arm_timer();
}

void Http2Try::on_link_drained() { handler_->on_attempt_drained(); }

void Http2Try::stop_keeping() {
  is_keeping_ = false;
  kept_.clear();
}

// --- the answer

void Http2Try::on_fields(const http::Http2FieldBlock& block, bool is_last) {
  arm_timer();
  if (state_ == State::kBody) {
    if (!is_last || block.is_too_large() || !http::parse_http2_trailers(block, &trailers_))
      fail(ErrorKind::kInvalid, "the upstream's trailers are malformed or too large");
    return;
  }
  if (!take_response(block, is_last)) return;
  http::ResponseHead& response = *request_.response;
  if (response.status < 200) {
    if (++interim_count_ > kInterimMax)
      return fail(ErrorKind::kLimit, "the upstream sends interim answers without end");
    return handler_->on_interim_response();
  }
  state_ = State::kBody;
  stop_keeping();
  body_left_ = response.content_length;
  if (is_last || response.body == BodyKind::kNone) return;  // told with the end
  deliver({}, false);
}

bool Http2Try::take_response(const http::Http2FieldBlock& block, bool is_last) {
  http::ResponseHead* response = request_.response;
  response->~ResponseHead();
  new (response) http::ResponseHead(request_.arena);
  std::string_view reason;
  if (http::parse_http2_response(block, is_last, kHeadLimits, request_.method, response, request_.arena,
                                 &reason))
    return true;
  fail(ErrorKind::kInvalid, "the upstream's answer is no valid HTTP/2: " + std::string(reason));
  return false;
}

// Whether that much body may come.
bool Http2Try::count_body(size_t size) {
  const BodyKind kind = request_.response->body;
  if (state_ != State::kBody || (kind == BodyKind::kNone && size > 0)) {
    fail(ErrorKind::kInvalid, "the upstream sent a body where none may be");
    return false;
  }
  if (kind != BodyKind::kLength) return true;
  if (size > body_left_) {
    fail(ErrorKind::kInvalid, "the upstream's answer has more body than its Content-Length says");
    return false;
  }
  body_left_ -= size;
  return true;
}

void Http2Try::on_data(std::string_view bytes) {
  arm_timer();
  if (!count_body(bytes.size())) return;
  if (is_paused_) return held_.append(bytes);
  link_->session().consume(stream_, bytes.size());
  deliver(bytes, false);
}

void Http2Try::deliver(std::string_view bytes, bool is_last) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  const int count = bytes.empty() ? 0 : 1;
  const bool is_first = !is_head_told_;
  is_head_told_ = true;
  if (is_first) return handler_->on_response_head(&piece, count, is_last);
  if (count > 0 || is_last) handler_->on_response_body(&piece, count, is_last);
}

void Http2Try::on_last() {
  if (state_ != State::kBody) return fail(ErrorKind::kInvalid, "the upstream's answer ends before its head");
  if (request_.response->body == BodyKind::kLength && body_left_ > 0)
    return fail(ErrorKind::kInvalid, "the upstream's answer has less body than its Content-Length says");
  is_answer_whole_ = true;
  if (!is_paused_) end_answer();
}

void Http2Try::end_answer() {
  base::ByteQueue rest;
  rest.swap(held_);
  finish();
  deliver(rest.view(), true);
}

void Http2Try::resume() {
  if (!is_paused_) return;
  is_paused_ = false;
  if (state_ != State::kBody) return;
  if (is_answer_whole_) return end_answer();
  if (held_.is_empty()) return;
  base::ByteQueue held;
  held.swap(held_);
  link_->session().consume(stream_, held.size());
  link_->flush_later();
  deliver(held.view(), false);
}

// --- the end

// The answer is complete; what the node did not want of the request is not sent.
void Http2Try::finish() {
  if (link_ && stream_ != 0 && !has_framed_end_) link_->reset(stream_, Http2Code::kCancel);
  detach();
}

void Http2Try::cancel() {
  if (link_ && stream_ != 0) link_->reset(stream_, Http2Code::kCancel);
  detach();
  held_.clear();
  endpoint_.reset();
}

// Of no connection, and nothing to be told.
void Http2Try::detach() {
  timer_.stop();
  if (link_ && stream_ != 0) link_->session().attach(stream_, nullptr);
  if (link_) link_->leave(this);
  link_.reset();
  stream_ = 0;
  state_ = State::kIdle;
  pending_.clear();
  kept_.clear();
}

void Http2Try::on_closed(Http2Code code) {
  stream_ = 0;
  if (is_answer_whole_) {  // and waits for who is slow; the stream's place is free
    link_->leave(this);
    link_.reset();
    return;
  }
  reset_code_ = code;
  const bool is_refused = code == Http2Code::kRefusedStream;
  if (is_refused && state_ == State::kHead) {
    has_begun_frames_ = false;  // the node has not looked at it
    if (try_again()) return;
    return fail(link_->is_leaving() ? ErrorKind::kClosed : ErrorKind::kUnreachable,
                "the upstream refused the request's stream");
  }
  fail(ErrorKind::kInvalid,
       "the upstream ended the request's stream (code " + std::to_string(static_cast<uint32_t>(code)) + ")");
}

// What was handed over is in the session of the link still, and has to be taken back from it.
void Http2Try::on_link_full() {
  if (is_handed_over_) {
    if (!try_again()) fail(ErrorKind::kClosed, "the upstream's connection takes no more requests");
    return;
  }
  if (++again_count_ > kAgainMax)
    return fail(ErrorKind::kUnreachable, "the upstream's connections take no requests");
  link_->leave(this);
  link_.reset();
  join();
}

void Http2Try::on_link_lost(ErrorKind kind, const std::string& detail) {
  if (is_answer_whole_) {
    link_.reset();
    stream_ = 0;
    return;
  }
  if (is_unsent() && try_again()) return;
  fail(kind, state_ == State::kBody ? detail + " in the middle of its answer" : detail);
}

// The whole request once more, to the same node, which has not looked at it.
bool Http2Try::try_again() {
  if (!is_keeping_ || again_count_ >= kAgainMax) return false;
  again_count_++;
  if (link_ && stream_ != 0) {
    link_->reset(stream_, Http2Code::kCancel);
    link_->session().attach(stream_, nullptr);
  }
  if (link_) link_->leave(this);
  timer_.stop();
  base::ByteQueue whole;
  whole.swap(kept_);
  whole.append(pending_.view());
  pending_.swap(whole);
  join();
  return true;
}

void Http2Try::on_timeout(void* self) {
  auto* attempt = static_cast<Http2Try*>(self);
  if (attempt->is_paused_) return attempt->arm_timer();  // it is the client who is slow
  const char* what = attempt->state_ == State::kWaiting  ? "connecting took too long"
                     : attempt->is_deadline_for_sending_ ? "the upstream did not take the request in time"
                                                         : "the upstream did not answer in time";
  // Perhaps the node is gone and nobody has said so: no other request is to wait for that.
  const bool is_link_silent = attempt->link_ && attempt->link_->heard_count() == attempt->heard_count_;
  if (is_link_silent && attempt->state_ != State::kWaiting) attempt->link_->retire();
  attempt->fail(ErrorKind::kTimeout, what);
}

void Http2Try::fail(ErrorKind kind, std::string detail) {
  const AttemptStage stage = state_ == State::kBody ? AttemptStage::kAnswering
                             : has_begun_frames_    ? AttemptStage::kSent
                                                    : AttemptStage::kConnecting;
  base::Error error{kind, base::Side::kUpstream, stage == AttemptStage::kConnecting, std::move(detail)};
  cancel();
  handler_->on_attempt_failed(error, stage);
}

}  // namespace moongate::upstream
