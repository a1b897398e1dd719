// SPDX-License-Identifier: Apache-2.0
#include "upstream/attempt.h"

#include <cstring>

#include "upstream/http2_try.h"

namespace moongate::upstream {

using base::ErrorKind;
using http::BodyKind;
using net::IoStatus;

namespace {
constexpr int kPiecesMax = 62;
constexpr uint32_t kInterimMax = 32;
}  // namespace

char* ReadBuffer::data() {
  static thread_local std::unique_ptr<char[]> buffer(new char[kSize]);
  return buffer.get();
}

Attempt::Attempt(AttemptHandler* handler) : handler_(handler), timer_(on_timeout, this) {}
Attempt::~Attempt() { cancel(); }

bool Attempt::is_active() const { return is_http2_ ? http2_->is_active() : connection_ != nullptr; }
bool Attempt::is_ready() const {
  return is_http2_ ? http2_->is_ready() : connection_ && state_ > State::kHandshaking;
}
bool Attempt::is_reused() const { return is_http2_ ? http2_->is_reused() : is_reused_; }
bool Attempt::has_sent_last() const { return is_http2_ ? http2_->has_sent_last() : has_sent_last_; }
bool Attempt::is_blocked() const {
  return is_http2_ ? http2_->is_blocked() : unsent_.size() > kUnsentHighBytes;
}
std::optional<http::Http2Code> Attempt::reset_code() const {
  return is_http2_ ? http2_->reset_code() : std::nullopt;
}
const std::string& Attempt::trailers() const { return is_http2_ ? http2_->trailers() : decoder_.trailers(); }

void Attempt::set_trailers(std::string lines) {
  if (is_http2_) return http2_->set_trailers(std::move(lines));
  request_trailers_ = std::move(lines);
}

void Attempt::pause() {
  if (is_http2_) return http2_->pause();
  is_paused_ = true;
}

void Attempt::start(std::shared_ptr<Endpoint> endpoint, const AttemptRequest& request,
                    const Timeouts& timeouts, const PoolLimits& limits) {
  MG_ASSERT(!is_active() && state_ == State::kIdle);
  endpoint_ = std::move(endpoint);
  is_http2_ = request.is_http2;
  if (is_http2_) {
    if (!http2_) http2_ = std::make_unique<Http2Try>(handler_);
    return http2_->start(endpoint_, request, timeouts, limits);
  }
  request_ = request;
  timeouts_ = timeouts;
  limits_ = limits;
  is_paused_ = has_sent_head_ = has_sent_last_ = false;
  start_fault_.clear();
  body_left_ = 0;
  scan_from_ = 0;
  interim_count_ = 0;
  decoder_.reset();
  request_trailers_.clear();
  connection_ = endpoint_->try_checkout(request_.server_name);
  is_reused_ = connection_ != nullptr;
  if (is_reused_) {
    connection_->stream.redirect(on_stream_ready, this);
    on_connected();
    return;
  }
  begin_connect();
}

void Attempt::begin_connect() {
  connection_ = std::make_unique<Connection>(*endpoint_, request_.server_name);
  state_ = State::kConnecting;
  auto started =
      connection_->stream.start_connect(endpoint_->loop(), endpoint_->address(), on_stream_ready, this);
  if (!started) {
    // Told in a later turn: the try that follows would otherwise begin on top of this one, and so on.
    start_fault_ = started.error().detail;
    timer_.start(endpoint_->loop().timers(), base::Duration(0));
    return;
  }
  timer_.start(endpoint_->loop().timers(), timeouts_.connect);
}

void Attempt::step_connect() {
  const int fault = connection_->stream.finish_connect();
  if (fault != 0) {
    return fail(fault == ETIMEDOUT ? ErrorKind::kTimeout : ErrorKind::kUnreachable,
                std::string("connecting failed: ") + std::strerror(fault));
  }
  if (!endpoint_->context()) return on_connected();
  if (!connection_->start_tls()) return fail(ErrorKind::kUnreachable, "no memory for a TLS handshake");
  state_ = State::kHandshaking;
  step_handshake();
}

// The timer goes on as it was set for connecting: one limit for both.
void Attempt::step_handshake() {
  const IoStatus status = connection_->stream.handshake();
  if (status == IoStatus::kOk) return on_connected();
  if (status == IoStatus::kBlocked) return;
  fail(ErrorKind::kUnreachable, "the TLS handshake failed: " + connection_->stream.describe_failure());
}

void Attempt::on_connected() {
  state_ = State::kHead;
  connection_->requests++;
  handler_->on_attempt_ready();
}

// One deadline at a time: while request bytes wait to be sent it is the send timeout, and the read timeout
// once all are there. In between the client owes the next piece of its body, and is timed where it is read.
void Attempt::arm_timer() {
  is_deadline_for_sending_ = !unsent_.is_empty();
  if (!is_deadline_for_sending_ && !has_sent_last_) return timer_.stop();
  timer_.start(endpoint_->loop().timers(), is_deadline_for_sending_ ? timeouts_.send : timeouts_.read);
}

void Attempt::send(const iovec* pieces, int count, bool is_last) {
  if (is_http2_) return http2_->send(pieces, count, is_last);
  iovec out[kPiecesMax + 6];
  int used = 0;
  if (!has_sent_head_) {
    out[used++] = {const_cast<char*>(request_.head.data()), request_.head.size()};
    has_sent_head_ = true;
  }
  size_t size = 0;
  for (int i = 0; i < count; i++) size += pieces[i].iov_len;
  MG_ASSERT(count <= kPiecesMax);
  char chunk_open[24];
  bool is_chunked = request_.body == BodyKind::kChunked;
  if (is_chunked && size > 0) out[used++] = {chunk_open, http::write_chunk_open(size, chunk_open)};
  for (int i = 0; i < count; i++) out[used++] = pieces[i];
  if (is_chunked && size > 0)
    out[used++] = {const_cast<char*>(http::kChunkClose.data()), http::kChunkClose.size()};
  if (is_chunked && is_last) {
    std::string_view last = http::kLastChunk;
    if (!request_trailers_.empty()) {
      request_trailers_.insert(0, "0\r\n").append("\r\n");
      last = request_trailers_;
    }
    out[used++] = {const_cast<char*>(last.data()), last.size()};
  }
  if (is_last) has_sent_last_ = true;
  if (used > 0) write_out(out, used);
}

void Attempt::write_out(const iovec* pieces, int count) {
  size_t sent = 0;
  if (unsent_.is_empty() && connection_->stream.may_write()) {
    net::IoResult result = connection_->stream.write(pieces, count);
    if (result.status == IoStatus::kError) {
      // The node may have answered before it closed; what it said is read before this counts as a failure.
      if (connection_->stream.may_read())
        read_some();
      else
        fail(ErrorKind::kClosed, "sending failed: " + connection_->stream.describe_failure());
      return;
    }
    sent = result.size;
  }
  for (int i = 0; i < count; i++) {
    std::string_view piece(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    if (sent >= piece.size()) {
      sent -= piece.size();
      continue;
    }
    unsent_.append(piece.substr(sent));
    sent = 0;
  }
  if (!unsent_.is_empty() && connection_->stream.may_write()) flush();
  if (connection_) arm_timer();
}

void Attempt::flush() {
  size_t before = unsent_.size();
  while (!unsent_.is_empty() && connection_->stream.may_write()) {
    std::string_view bytes = unsent_.view();
    net::IoResult result = connection_->stream.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) {
      unsent_.clear();
      if (connection_->stream.may_read())
        read_some();
      else
        fail(ErrorKind::kClosed, "sending failed: " + connection_->stream.describe_failure());
      return;
    }
    if (result.status != IoStatus::kOk) break;
    unsent_.consume(result.size);
  }
  if (unsent_.size() != before) arm_timer();
  if (before > kUnsentLowBytes && unsent_.size() <= kUnsentLowBytes) handler_->on_attempt_drained();
}

void Attempt::on_stream_ready(void* self) {
  auto* attempt = static_cast<Attempt*>(self);
  uint32_t serial = attempt->serial_;
  if (attempt->state_ == State::kConnecting || attempt->state_ == State::kHandshaking) {
    attempt->state_ == State::kConnecting ? attempt->step_connect() : attempt->step_handshake();
    if (attempt->serial_ != serial || attempt->state_ == State::kHandshaking) return;
  }
  if (attempt->connection_->stream.may_write() && !attempt->unsent_.is_empty()) {
    attempt->flush();
    if (attempt->serial_ != serial) return;
  }
  attempt->read_some();
}

void Attempt::resume() {
  if (is_http2_) return http2_->resume();
  if (!is_paused_) return;
  is_paused_ = false;
  if (connection_) read_some();
}

void Attempt::read_some() {
  uint32_t serial = serial_;
  for (int reads = 0; serial_ == serial && !is_paused_ &&
                      (state_ == State::kHead || state_ == State::kBody) && connection_->stream.may_read();
       reads++) {
    if (reads == ReadBuffer::kReadsPerTurn) return connection_->stream.call_again();
    char* buffer = ReadBuffer::data();
    net::IoResult result = connection_->stream.read(buffer, ReadBuffer::kSize);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kEof) return on_eof();
    if (result.status == IoStatus::kError) {
      return fail(ErrorKind::kClosed, "reading the answer failed: " + connection_->stream.describe_failure());
    }
    arm_timer();
    std::string_view bytes(buffer, result.size);
    if (state_ == State::kHead) {
      while (state_ == State::kHead) {
        bool is_final = take_head(&bytes);
        if (serial_ != serial) return;
        if (!is_final) break;
      }
    } else {
      take_body(bytes, false);
    }
  }
}

// Takes a head off the front of `bytes`. True when there may be more to do in state kHead: an interim answer
// was dealt with.
bool Attempt::take_head(std::string_view* bytes) {
  constexpr http::HeadLimits kLimits{64 * 1024, 200};
  std::string_view seen = *bytes;
  bool is_continued = !partial_head_.is_empty();
  if (is_continued) {
    partial_head_.append(*bytes);
    seen = partial_head_.view();
  }
  http::ScanResult scan = http::scan_head(seen, scan_from_, kLimits);
  if (scan.status == http::ScanStatus::kTooLarge) {
    fail(ErrorKind::kLimit, "the upstream's header section is larger than 64 KB");
    return false;
  }
  if (scan.status == http::ScanStatus::kIncomplete) {
    scan_from_ = scan.resume_at;
    if (!is_continued) partial_head_.append(*bytes);
    return false;
  }
  std::string_view head = request_.arena->copy(seen.substr(0, scan.head_size));
  size_t from_this_read = seen.size() - scan.head_size;
  *bytes = bytes->substr(bytes->size() - from_this_read);
  partial_head_.clear();
  scan_from_ = 0;
  if (!parse_head(head)) return false;
  uint16_t status = request_.response->status;
  uint32_t serial = serial_;
  if (status == 101) {
    if (!request_.wants_upgrade) {
      fail(ErrorKind::kInvalid, "the upstream switched protocols unasked");
      return false;
    }
    state_ = State::kUpgraded;
    timer_.stop();
    handler_->on_upgraded(*bytes);
    return false;
  }
  if (status < 200) {
    if (++interim_count_ > kInterimMax) {
      fail(ErrorKind::kLimit, "the upstream sends interim answers without end");
      return false;
    }
    handler_->on_interim_response();
    return serial_ == serial && !bytes->empty();
  }
  state_ = State::kBody;
  body_left_ = request_.response->content_length;
  take_body(*bytes, true);
  return false;
}

bool Attempt::parse_head(std::string_view head) {
  http::ResponseHead* response = request_.response;
  response->~ResponseHead();
  new (response) http::ResponseHead(request_.arena);
  std::string_view reason;
  constexpr http::HeadLimits kLimits{64 * 1024, 200};
  if (http::parse_response_head(head, kLimits, request_.method, response, &reason)) return true;
  fail(ErrorKind::kInvalid, "the upstream's answer is no valid HTTP: " + std::string(reason));
  return false;
}

void Attempt::take_body(std::string_view bytes, bool is_first) {
  iovec pieces[kPiecesMax];
  int count = 0;
  bool is_last = false;
  bool has_surplus = false;
  do {
    count = 0;
    switch (request_.response->body) {
      case BodyKind::kNone:
        is_last = true;
        has_surplus = !bytes.empty();
        bytes = {};
        break;
      case BodyKind::kLength: {
        size_t size = bytes.size() < body_left_ ? bytes.size() : static_cast<size_t>(body_left_);
        if (size) pieces[count++] = {const_cast<char*>(bytes.data()), size};
        body_left_ -= size;
        is_last = body_left_ == 0;
        has_surplus = bytes.size() > size;
        bytes = {};
        break;
      }
      case BodyKind::kUntilClose:
        if (!bytes.empty()) pieces[count++] = {const_cast<char*>(bytes.data()), bytes.size()};
        bytes = {};
        break;
      case BodyKind::kChunked:
        while (count < kPiecesMax) {
          auto step = decoder_.feed(bytes);
          bytes.remove_prefix(step.consumed);
          if (step.status == http::ChunkedDecoder::Status::kData) {
            if (!step.data.empty()) pieces[count++] = {const_cast<char*>(step.data.data()), step.data.size()};
            continue;
          }
          if (step.status == http::ChunkedDecoder::Status::kBad) {
            return fail(ErrorKind::kInvalid, "the upstream's chunked body is malformed");
          }
          is_last = step.status == http::ChunkedDecoder::Status::kDone;
          has_surplus = is_last && !bytes.empty();
          bytes = {};
          break;
        }
        break;
    }
    uint32_t serial = serial_;
    if (is_last) {
      if (has_surplus) request_.response->is_keep_alive = false;
      finish();
      serial = serial_;
    }
    if (is_first)
      handler_->on_response_head(pieces, count, is_last);
    else if (count > 0 || is_last)
      handler_->on_response_body(pieces, count, is_last);
    is_first = false;
    if (serial_ != serial) return;
  } while (!bytes.empty() && !is_last);
}

// The answer is complete: the connection can go back before anyone acts on that.
void Attempt::finish() {
  timer_.stop();
  state_ = State::kIdle;
  serial_++;
  std::unique_ptr<Connection> connection = std::move(connection_);
  bool is_reusable = request_.response->is_keep_alive && has_sent_last_ && unsent_.is_empty() &&
                     request_.response->body != BodyKind::kUntilClose;
  unsent_.clear();
  if (is_reusable) endpoint_->checkin(std::move(connection), limits_);
}

void Attempt::on_eof() {
  if (state_ == State::kBody && request_.response->body == BodyKind::kUntilClose) {
    finish();
    handler_->on_response_body(nullptr, 0, true);
    return;
  }
  fail(ErrorKind::kClosed, state_ == State::kBody
                               ? "the upstream closed the connection in the middle of its answer"
                               : "the upstream closed the connection before it answered");
}

void Attempt::on_timeout(void* self) {
  auto* attempt = static_cast<Attempt*>(self);
  if (!attempt->start_fault_.empty())
    return attempt->fail(ErrorKind::kUnreachable, std::move(attempt->start_fault_));
  if (attempt->is_paused_) {  // it is the client who is slow; its own timeout watches that
    attempt->arm_timer();
    return;
  }
  const char* what = attempt->state_ == State::kConnecting    ? "connecting took too long"
                     : attempt->state_ == State::kHandshaking ? "the TLS handshake took too long"
                     : attempt->is_deadline_for_sending_ ? "the upstream did not take the request in time"
                                                         : "the upstream did not answer in time";
  attempt->fail(ErrorKind::kTimeout, what);
}

void Attempt::fail(ErrorKind kind, std::string detail) {
  AttemptStage stage = state_ <= State::kHandshaking || !has_sent_head_      ? AttemptStage::kConnecting
                       : state_ == State::kBody || !partial_head_.is_empty() ? AttemptStage::kAnswering
                                                                             : AttemptStage::kSent;
  base::Error error{kind, base::Side::kUpstream, stage == AttemptStage::kConnecting, std::move(detail)};
  cancel();
  handler_->on_attempt_failed(error, stage);
}

void Attempt::cancel() {
  if (is_http2_) http2_->cancel();
  timer_.stop();
  connection_.reset();
  endpoint_.reset();
  unsent_.clear();
  partial_head_.clear();
  state_ = State::kIdle;
  serial_++;
}

std::unique_ptr<Connection> Attempt::take_connection() {
  timer_.stop();
  state_ = State::kIdle;
  serial_++;
  return std::move(connection_);
}

}  // namespace moongate::upstream
