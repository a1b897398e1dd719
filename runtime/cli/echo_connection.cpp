// SPDX-License-Identifier: Apache-2.0
#include "cli/echo_connection.h"

#include <algorithm>
#include <utility>

namespace moongate::cli {
namespace {

constexpr size_t kBodyMaxBytes = 1u << 20;
constexpr size_t kPieceBytes = 64u << 10;
constexpr auto kIdleLimit = std::chrono::seconds(75);
constexpr auto kDrainLimit = std::chrono::seconds(2);
constexpr http::HeadLimits kHeadLimits{};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

EchoConnection::EchoConnection(net::EventLoop& loop, int fd, const EchoIdentity& identity,
                               std::function<void(EchoConnection&)> on_end)
    : loop_(loop),
      identity_(identity),
      on_end_(std::move(on_end)),
      delay_(on_delay_over, this),
      idle_(on_idle, this),
      deferred_end_(on_deferred_end, this),
      head_(&arena_) {
  idle_.start(loop_.timers(), kIdleLimit);
  stream_.adopt(loop_, fd, on_ready, this);
}

void EchoConnection::on_ready(void* self) { static_cast<EchoConnection*>(self)->run(); }

void EchoConnection::on_idle(void* self) { static_cast<EchoConnection*>(self)->end(); }

void EchoConnection::on_delay_over(void* self) {
  auto* connection = static_cast<EchoConnection*>(self);
  connection->state_ = State::kAnswer;
  connection->run();
}

void EchoConnection::on_deferred_end(void* self) {
  auto* connection = static_cast<EchoConnection*>(self);
  connection->on_end_(*connection);  // destroys the connection
}

void EchoConnection::end() {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  delay_.stop();
  idle_.stop();
  stream_.close();
  deferred_end_.schedule(loop_);
}

// Goes on until nothing more can be done without the peer or the timer.
void EchoConnection::run() {
  bool goes_on = true;
  while (goes_on) {
    switch (state_) {
      case State::kHead:
        goes_on = take_head();
        break;
      case State::kBody:
        goes_on = take_body();
        break;
      case State::kAnswer:
        goes_on = send();
        break;
      case State::kDrain:
        goes_on = drain();
        break;
      case State::kDelay:
      case State::kEnded:
        return;
    }
  }
}

/// Appends what has come to input_. False when nothing has, or the connection ended.
bool EchoConnection::receive() {
  char piece[16 * 1024];
  const net::IoResult got = stream_.read(piece, sizeof piece);
  switch (got.status) {
    case net::IoStatus::kOk:
      input_.append(piece, got.size);
      idle_.start(loop_.timers(), kIdleLimit);
      return true;
    case net::IoStatus::kBlocked:
      return false;
    case net::IoStatus::kEof:
    case net::IoStatus::kError:
      break;
  }
  end();
  return false;
}

bool EchoConnection::take_head() {
  if (scanned_ == 0) {
    size_t empty_lines = 0;
    while (input_.compare(empty_lines, 2, "\r\n") == 0) empty_lines += 2;
    input_.erase(0, empty_lines);
  }
  const http::ScanResult scan = http::scan_head(input_, scanned_, kHeadLimits);
  if (scan.status == http::ScanStatus::kTooLarge) {
    refuse(431, "the head is larger than 32 KB");
    return true;
  }
  if (scan.status == http::ScanStatus::kIncomplete) {
    scanned_ = scan.resume_at;
    return receive();
  }
  head_bytes_.assign(input_, 0, scan.head_size);
  input_.erase(0, scan.head_size);
  http::HeadFault fault;
  if (!http::parse_request_head(head_bytes_, kHeadLimits, &head_, &fault)) {
    refuse(fault.status, fault.reason);
    return true;
  }
  if (head_.body == http::BodyKind::kLength && head_.content_length > kBodyMaxBytes) {
    refuse(413, "the body is larger than 1 MB");
    return true;
  }
  state_ = State::kBody;
  if (head_.expects_continue && head_.body != http::BodyKind::kNone && input_.empty()) {
    // The socket has just been read to its end and nothing is under way, so these few bytes fit.
    const net::IoResult sent = stream_.write(kContinue.data(), kContinue.size());
    if (sent.size != kContinue.size()) end();
  }
  return true;
}

bool EchoConnection::take_body() {
  if (head_.body == http::BodyKind::kChunked) return take_chunks();
  const size_t wanted = head_.body == http::BodyKind::kLength ? static_cast<size_t>(head_.content_length) : 0;
  const size_t taken = std::min(wanted - body_.size(), input_.size());
  body_.append(input_, 0, taken);
  input_.erase(0, taken);
  if (body_.size() < wanted) return receive();
  answer(make_echo_answer(head_, body_, identity_));
  return true;
}

bool EchoConnection::take_chunks() {
  const http::ChunkedDecoder::Step step = decoder_.feed(input_);
  if (step.status == http::ChunkedDecoder::Status::kData) {
    if (body_.size() + step.data.size() > kBodyMaxBytes) {
      refuse(413, "the body is larger than 1 MB");
      return true;
    }
    body_.append(step.data);
  }
  input_.erase(0, step.consumed);
  switch (step.status) {
    case http::ChunkedDecoder::Status::kData:
      return true;
    case http::ChunkedDecoder::Status::kMore:
      return receive();
    case http::ChunkedDecoder::Status::kBad:
      refuse(400, "the chunked body is malformed");
      return true;
    case http::ChunkedDecoder::Status::kDone:
      break;
  }
  answer(make_echo_answer(head_, body_, identity_));
  return true;
}

void EchoConnection::refuse(uint16_t status, std::string_view reason) {
  answer(make_echo_refusal(status, reason));
}

void EchoConnection::answer(EchoAnswer answer) {
  answer_ = std::move(answer);
  sent_ = 0;
  state_ = State::kAnswer;
  if (answer_.delay == base::Duration(0)) return;
  state_ = State::kDelay;
  idle_.stop();
  delay_.start(loop_.timers(), answer_.delay);
}

/// Puts the next piece of filler into answer_.bytes.
void EchoConnection::refill() {
  const auto size = static_cast<size_t>(std::min<uint64_t>(answer_.filler_size, kPieceBytes));
  answer_.filler_size -= size;
  answer_.bytes.clear();
  sent_ = 0;
  if (!answer_.is_chunked) {
    answer_.bytes.assign(size, 'x');
    return;
  }
  char open[20];
  answer_.bytes.append(open, http::write_chunk_open(size, open));
  answer_.bytes.append(size, 'x');
  answer_.bytes.append(http::kChunkClose);
  if (answer_.filler_size == 0) answer_.bytes.append(http::kLastChunk);
}

bool EchoConnection::send() {
  while (true) {
    if (sent_ == answer_.bytes.size()) {
      if (answer_.filler_size == 0) break;
      refill();
    }
    const net::IoResult sent = stream_.write(answer_.bytes.data() + sent_, answer_.bytes.size() - sent_);
    if (sent.status == net::IoStatus::kBlocked) return false;
    if (sent.status != net::IoStatus::kOk) {
      end();
      return false;
    }
    sent_ += sent.size;
    idle_.start(loop_.timers(), kIdleLimit);
  }
  if (!answer_.closes) {
    begin_next();
    return true;
  }
  // A close with unread input would become a reset, and could take the answer with it.
  stream_.shutdown_write();
  idle_.start(loop_.timers(), kDrainLimit);
  input_.clear();
  state_ = State::kDrain;
  return true;
}

bool EchoConnection::drain() {
  char piece[16 * 1024];
  const net::IoResult got = stream_.read(piece, sizeof piece);
  if (got.status == net::IoStatus::kOk) return true;
  if (got.status != net::IoStatus::kBlocked) end();
  return false;
}

void EchoConnection::begin_next() {
  answer_ = {};
  sent_ = 0;
  scanned_ = 0;
  body_.clear();
  decoder_.reset();
  arena_.reset();
  head_ = http::RequestHead(&arena_);
  state_ = State::kHead;
}

}  // namespace moongate::cli
