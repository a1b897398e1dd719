// SPDX-License-Identifier: Apache-2.0
#include "upstream/http2_link.h"

#include <algorithm>
#include <cstring>

#include "upstream/attempt.h"

namespace moongate::upstream {

using base::ErrorKind;
using net::IoStatus;

namespace {

constexpr size_t kWriteBytes = 64 * 1024;
constexpr int kWritesPerTurn = 16;
constexpr uint32_t kStreamsMax = 128;  // however many the node allows: each may hold a window's worth
constexpr std::chrono::seconds kStuckMax{60};

// Not the buffer of attempts: what is in it is still being dealt with while answers begin other requests.
char* link_read_buffer() {
  static thread_local std::unique_ptr<char[]> buffer(new char[ReadBuffer::kSize]);
  return buffer.get();
}

http::Http2Session::Options session_options() {
  http::Http2Session::Options options;
  options.head = {64 * 1024, 200};
  options.stream_window_bytes = 256 * 1024;
  options.connection_window_bytes = 16 * 1024 * 1024;
  return options;
}

}  // namespace

Http2Link::Http2Link(Endpoint& endpoint, std::string_view server_name, const PoolLimits& limits)
    : endpoint_(&endpoint),
      loop_(endpoint.loop()),
      server_name_(server_name),
      limits_(limits),
      connection_(std::make_unique<Connection>(endpoint, server_name)),
      session_(http::Http2Session::make_client(*this, session_options())),
      flush_(on_flush, this),
      idle_timer_(on_idle, this),
      stuck_timer_(on_stuck, this) {}

Http2Link::~Http2Link() { close(); }

void Http2Link::start() {
  auto started = connection_->stream.start_connect(loop_, endpoint_->address(), on_stream_ready, this);
  if (started) return;
  start_fault_ = started.error().detail;
  flush_later();
}

bool Http2Link::has_room() const {
  if (state_ == State::kClosed || is_retired_ || requests_ >= limits_.requests_max) return false;
  const uint32_t allowed = is_open() ? session_->peer_streams_max() : endpoint_->http2_streams_max();
  return users_.size() < std::min(allowed, kStreamsMax);
}

void Http2Link::join(Http2LinkUser* user) {
  users_.push_back(user);
  idle_timer_.stop();
}

void Http2Link::leave(Http2LinkUser* user) {
  std::erase(users_, user);
  std::erase(drained_, user);
  if (!users_.empty() || state_ == State::kClosed) return;
  if (is_open()) idle_timer_.start(loop_.timers(), limits_.idle_timeout);
  flush_later();  // what the last one left, and the end where nothing may follow
}

int32_t Http2Link::send_request(std::string_view head, bool has_body, http::StreamHandler* handler) {
  requests_++;
  flush_later();
  return session_->send_request(head, endpoint_->context() ? "https" : "http", has_body, handler);
}

void Http2Link::reset(int32_t stream, http::Http2Code code) {
  if (state_ == State::kClosed) return;
  session_->reset(stream, code);
  flush_later();
}

// --- the beginning

void Http2Link::on_stream_ready(void* self) {
  const auto link = static_cast<Http2Link*>(self)->shared_from_this();
  if (link->state_ == State::kConnecting && !link->step_connect()) return;
  if (link->state_ == State::kHandshaking && !link->step_handshake()) return;
  if (!link->unsent_.is_empty()) link->flush();
  link->read();
}

bool Http2Link::step_connect() {
  const int fault = connection_->stream.finish_connect();
  if (fault != 0) {
    lose(fault == ETIMEDOUT ? ErrorKind::kTimeout : ErrorKind::kUnreachable,
         std::string("connecting failed: ") + std::strerror(fault));
    return false;
  }
  if (!endpoint_->context()) {
    greet();
    return true;
  }
  state_ = State::kHandshaking;
  if (connection_->start_tls()) return true;
  lose(ErrorKind::kUnreachable, "no memory for a TLS handshake");
  return false;
}

bool Http2Link::step_handshake() {
  const IoStatus status = connection_->stream.handshake();
  if (status == IoStatus::kBlocked) return false;
  if (status != IoStatus::kOk) {
    lose(ErrorKind::kUnreachable, "the TLS handshake failed: " + connection_->stream.describe_failure());
    return false;
  }
  if (!connection_->stream.session()->is_http2()) {
    lose(ErrorKind::kUnreachable, "the upstream does not speak HTTP/2: it did not choose h2 (ALPN)");
    return false;
  }
  greet();
  return true;
}

void Http2Link::greet() {
  state_ = State::kGreeting;
  flush_later();
}

void Http2Link::on_settings() { has_settings_ = true; }

// Those who waited may send now; those for whom the node has no room go elsewhere.
void Http2Link::admit() {
  state_ = State::kOpen;
  endpoint_->note_http2_streams_max(session_->peer_streams_max());
  if (session_->peer_streams_max() == 0)
    return lose(ErrorKind::kUnreachable, "the upstream allows no HTTP/2 streams");
  const std::vector<Http2LinkUser*> waiting = users_;
  const size_t allowed = std::min<size_t>(session_->peer_streams_max(), kStreamsMax);
  for (size_t i = 0; i < waiting.size() && state_ == State::kOpen; i++) {
    if (std::find(users_.begin(), users_.end(), waiting[i]) == users_.end()) continue;
    if (i < allowed && !is_retired_) {
      waiting[i]->on_link_ready();
    } else {
      waiting[i]->on_link_full();
    }
  }
}

// --- in and out

void Http2Link::read() {
  for (int reads = 0;
       state_ >= State::kGreeting && state_ != State::kClosed && connection_->stream.may_read(); reads++) {
    if (reads == ReadBuffer::kReadsPerTurn) return connection_->stream.call_again();
    char* buffer = link_read_buffer();
    const net::IoResult result = connection_->stream.read(buffer, ReadBuffer::kSize);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kEof) {
      return lose(ErrorKind::kClosed, is_open()
                                          ? "the upstream closed the connection"
                                          : "the upstream closed the connection instead of speaking HTTP/2");
    }
    if (result.status == IoStatus::kError)
      return lose(ErrorKind::kClosed, "reading the answer failed: " + connection_->stream.describe_failure());
    heard_count_++;
    const bool is_fine = session_->receive({buffer, result.size});
    if (state_ == State::kClosed) return;
    flush_later();  // acknowledgements, windows
    if (!is_fine) {
      flush();
      return conclude();
    }
    if (state_ == State::kGreeting && has_settings_) admit();
    if (state_ != State::kClosed && is_leaving_) move_unsent_users();
  }
}

// Nothing of them was made into frames, and nothing may be: the node takes no further streams.
void Http2Link::move_unsent_users() {
  const std::vector<Http2LinkUser*> users = users_;
  for (Http2LinkUser* user : users) {
    if (std::find(users_.begin(), users_.end(), user) != users_.end() && user->is_unsent())
      user->on_link_full();
  }
}

void Http2Link::on_flush(void* self) {
  const auto link = static_cast<Http2Link*>(self)->shared_from_this();
  if (!link->start_fault_.empty()) return link->lose(ErrorKind::kUnreachable, link->start_fault_);
  if (link->state_ >= State::kGreeting) link->flush();
  link->end_if_over();
}

void Http2Link::flush() {
  static thread_local std::string frames;
  if (state_ == State::kClosed) return;
  bool is_alive = push_unsent();
  for (int writes = 0; is_alive && unsent_.is_empty(); writes++) {
    if (writes == kWritesPerTurn) {
      flush_later();  // the others have their turn
      break;
    }
    frames.clear();
    static_cast<void>(session_->write(&frames, kWriteBytes));  // read() says what it broke of
    if (state_ == State::kClosed) return;  // a stream that ended meanwhile was the last of the endpoint
    if (frames.empty()) break;
    is_alive = send(frames);
  }
  if (is_alive) {
    tell_drained();
    if (state_ != State::kClosed && unsent_.is_empty() && !session_->wants_input()) conclude();
    return;
  }
  // The node may have said why before it closed.
  if (connection_->stream.may_read()) return connection_->stream.call_again();
  lose(ErrorKind::kClosed, "sending failed: " + connection_->stream.describe_failure());
}

bool Http2Link::push_unsent() {
  const size_t before = unsent_.size();
  while (!unsent_.is_empty() && connection_->stream.may_write()) {
    const std::string_view bytes = unsent_.view();
    const net::IoResult result = connection_->stream.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    unsent_.consume(result.size);
  }
  if (unsent_.is_empty())
    stuck_timer_.stop();
  else if (unsent_.size() != before || !stuck_timer_.is_running())
    stuck_timer_.start(loop_.timers(), kStuckMax);
  return true;
}

bool Http2Link::send(std::string_view bytes) {
  unsent_.append(bytes);
  return push_unsent();
}

void Http2Link::tell_drained() {
  std::vector<Http2LinkUser*> drained;
  drained.swap(drained_);
  for (Http2LinkUser* user : drained) {
    if (std::find(users_.begin(), users_.end(), user) != users_.end()) user->on_link_drained();
  }
}

// --- the end

// The session has ended, by a fault of the node or because it has left and nothing is under way.
void Http2Link::conclude() {
  if (state_ == State::kClosed) return;
  const std::string_view fault = session_->fault();
  const bool has_left = is_leaving_ && fault.empty();
  if (has_left) move_unsent_users();
  if (has_left) return lose(ErrorKind::kClosed, "the upstream ended the connection");
  std::string detail = "the upstream's bytes are no valid HTTP/2";
  if (!fault.empty()) detail.append(": ").append(fault);
  lose(ErrorKind::kInvalid, detail);
}

void Http2Link::retire() {
  is_retired_ = true;
  flush_later();
}

void Http2Link::end_if_over() {
  if (state_ == State::kClosed || !users_.empty()) return;
  const bool is_spent = is_retired_ || requests_ >= limits_.requests_max;
  if (!is_open() || is_spent || endpoint_->idle_http2_count() > limits_.idle_max) on_idle(this);
}

void Http2Link::on_idle(void* self) {
  const auto link = static_cast<Http2Link*>(self)->shared_from_this();
  link->session_->terminate(http::Http2Code::kNoError);
  if (link->is_open()) link->flush();
  link->close();
}

void Http2Link::on_stuck(void* self) {
  const auto link = static_cast<Http2Link*>(self)->shared_from_this();
  link->lose(ErrorKind::kTimeout, "the upstream did not take the request in time");
}

void Http2Link::lose(ErrorKind kind, const std::string& detail) {
  const auto self = shared_from_this();
  close();
  while (!users_.empty()) {
    Http2LinkUser* user = users_.back();
    users_.pop_back();
    user->on_link_lost(kind, detail);
  }
}

void Http2Link::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  flush_.cancel();
  idle_timer_.stop();
  stuck_timer_.stop();
  drained_.clear();
  unsent_.clear();
  connection_.reset();
  Endpoint* endpoint = endpoint_;
  endpoint_ = nullptr;
  endpoint->forget_http2(this);
}

}  // namespace moongate::upstream
