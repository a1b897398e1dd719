// SPDX-License-Identifier: Apache-2.0
#include "proxy/http2_connection.h"

#include "base/log.h"

namespace moongate::proxy {

using exchange::Ending;
using net::IoStatus;

namespace {

constexpr auto kShutdownGrace = std::chrono::seconds(1);
constexpr size_t kWriteBytes = 128 * 1024;  // frames made at once
constexpr int kWritesPerTurn = 8;

// Frames are made here; what the socket does not take is kept by the connection.
std::string& frame_buffer() {
  static thread_local std::string buffer;
  buffer.clear();
  return buffer;
}

http::Http2Session::Options options_of(const ClientOptions& client) {
  http::Http2Session::Options options;
  options.head = client.head;
  options.streams_max = client.http2_streams_max;
  options.stream_window_bytes = client.http2_window_bytes;
  options.connection_window_bytes = StreamConnection::connection_window_bytes(client);
  options.resets_max = client.http2_resets_max;
  return options;
}

}  // namespace

Http2Connection::Http2Connection(Context& context, Connection& owner, tls::Stream& stream)
    : StreamConnection(context),
      owner_(owner),
      stream_(stream),
      session_(http::Http2Session::make_server(*this, options_of(context.client))),
      flush_(on_flush, this),
      idle_timer_(on_idle, this),
      block_timer_(on_slow_block, this),
      send_timer_(on_slow_reader, this),
      grace_timer_(on_grace_over, this) {
  idle_timer_.start(context.loop.timers(), context.client.header_timeout);
}

Http2Connection::~Http2Connection() = default;

void Http2Connection::start(std::string_view received) {
  if (context_.is_draining) drain();
  flush_later();
  if (received.empty() || receive(received)) read();
}

void Http2Connection::on_ready() {
  if (is_closed_) return;
  if (!unsent_.is_empty() && stream_.may_write()) flush();
  read();
}

void Http2Connection::read() {
  for (int reads = 0; !is_closed_ && !has_failed_ && !is_eof_ && stream_.may_read(); reads++) {
    if (reads == upstream::ReadBuffer::kReadsPerTurn) return stream_.call_again();
    char* buffer = client_read_buffer();
    const net::IoResult result = stream_.read(buffer, upstream::ReadBuffer::kSize);
    if (result.status == IoStatus::kBlocked) return;
    if (result.status == IoStatus::kError) return close();
    if (result.status == IoStatus::kEof) return on_eof();
    if (!receive({buffer, result.size})) return;
  }
}

bool Http2Connection::receive(std::string_view bytes) {
  const bool is_fine = session_->receive(bytes);
  flush_later();  // acknowledgements, windows, refusals
  if (!is_fine) {
    fail();
    return false;
  }
  if (!session_->is_within_block())
    block_timer_.stop();
  else if (!block_timer_.is_running())
    block_timer_.start(context_.loop.timers(), context_.client.header_timeout);
  return true;
}

// What has been asked for whole is still answered; the rest of a body will never come.
void Http2Connection::on_eof() {
  is_eof_ = true;
  leave_those([](const RequestStream& stream) { return !stream.has_ended(); });
  shut_down();
}

void Http2Connection::on_stream(int32_t id, const http::Http2FieldBlock& block, bool is_last) {
  // The GOAWAY that leaves it out may wait for the socket still.
  if (is_shut_down_) return session_->reset(id, http::Http2Code::kRefusedStream);
  idle_timer_.stop();
  requests_++;
  begin_stream(id, block, is_last);
  if (requests_ >= context_.client.keepalive_requests) drain();
}

void Http2Connection::on_streams_gone() {
  idle_timer_.start(context_.loop.timers(), context_.client.keepalive_timeout);
  flush_later();  // it may have been the last
}

// --- the end

// First only that the end comes, since requests may be under way that a number of the last would refuse.
void Http2Connection::drain() {
  if (is_draining_) return;
  is_draining_ = true;
  session_->announce_shutdown();
  grace_timer_.start(context_.loop.timers(), kShutdownGrace);
  flush_later();
}

void Http2Connection::on_shutdown_heard() {
  if (is_draining_) shut_down();
}

void Http2Connection::shut_down() {
  if (!is_shut_down_) session_->shut_down();
  is_shut_down_ = true;
  grace_timer_.stop();
  flush_later();
}

// WebSockets are told, as far as windows and the socket allow it at once.
void Http2Connection::end() {
  close_websockets();
  flush();
  leave_all();
  session_->terminate(http::Http2Code::kNoError);
  flush();
}

// The session has queued why.
void Http2Connection::fail() {
  has_failed_ = true;
  leave_all();
  MG_LOG(kInfo) << "HTTP/2 connection from " << owner_.peer_address() << " ended: " << session_->fault();
  flush_later();
}

void Http2Connection::close() {
  if (is_closed_) return;
  is_closed_ = true;
  leave_all();
  flush_.cancel();
  for (net::Timer* timer : {&idle_timer_, &block_timer_, &send_timer_, &grace_timer_}) timer->stop();
  owner_.end_http2(is_eof_);
}

void Http2Connection::end_if_over() {
  if (!unsent_.is_empty()) return;
  if (has_failed_ || session_->is_over() || (is_shut_down_ && !has_streams())) close();
}

void Http2Connection::on_idle(void* self) {
  auto* connection = static_cast<Http2Connection*>(self);
  connection->shut_down();
}

void Http2Connection::on_slow_block(void* self) {
  auto* connection = static_cast<Http2Connection*>(self);
  connection->session_->terminate(http::Http2Code::kEnhanceYourCalm);
  connection->fail();
}

void Http2Connection::on_slow_reader(void* self) { static_cast<Http2Connection*>(self)->close(); }
void Http2Connection::on_grace_over(void* self) { static_cast<Http2Connection*>(self)->shut_down(); }

// --- sending

void Http2Connection::on_flush(void* self) {
  auto* connection = static_cast<Http2Connection*>(self);
  connection->flush();
}

void Http2Connection::flush() {
  if (is_closed_) return;
  if (!push_unsent()) return close();
  for (int writes = 0; unsent_.is_empty(); writes++) {
    if (writes == kWritesPerTurn) {
      flush_later();  // the others have their turn
      break;
    }
    std::string& frames = frame_buffer();
    if (!session_->write(&frames, kWriteBytes) && !has_failed_) fail();
    if (frames.empty()) {
      // What waits now waits for a window, and none will be opened by a client that sends no more.
      if (is_eof_) leave_those([](const RequestStream& stream) { return stream.has_pending(); });
      break;
    }
    if (!send(frames)) return close();
  }
  tell_drained();  // only now: frames are not made while frames are made
  end_if_over();
}

// How much of it the socket took. False when the connection is dead.
bool Http2Connection::write(std::string_view bytes, size_t* taken) {
  *taken = 0;
  while (*taken < bytes.size() && stream_.may_write()) {
    const net::IoResult result = stream_.write(bytes.data() + *taken, bytes.size() - *taken);
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    *taken += result.size;
  }
  return true;
}

bool Http2Connection::push_unsent() {
  size_t taken = 0;
  if (unsent_.is_empty()) return true;
  if (!write(unsent_.view(), &taken)) return false;
  unsent_.consume(taken);
  if (unsent_.is_empty())
    send_timer_.stop();
  else if (taken > 0)
    send_timer_.start(context_.loop.timers(), context_.client.send_timeout);
  return true;
}

bool Http2Connection::send(std::string_view bytes) {
  size_t taken = 0;
  if (!write(bytes, &taken)) return false;
  if (taken == bytes.size()) return true;
  unsent_.append(bytes.substr(taken));
  send_timer_.start(context_.loop.timers(), context_.client.send_timeout);
  return true;
}

}  // namespace moongate::proxy
