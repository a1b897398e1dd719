// SPDX-License-Identifier: Apache-2.0
#include "proxy/tunnel.h"

#include <algorithm>

namespace moongate::proxy {

using base::Clock;
using net::IoStatus;

Connection::Tunnel::Tunnel(Context& context, tls::Stream& client,
                           std::unique_ptr<upstream::Connection> upstream, OnEnd on_end)
    : context_(context),
      client_(client),
      upstream_(std::move(upstream)),
      on_end_(std::move(on_end)),
      idle_timer_(on_idle, this),
      answer_timer_(on_answer_timeout, this) {
  upstream_->stream.redirect(on_upstream_ready, this);
}

void Connection::Tunnel::on_idle(void* self) { static_cast<Tunnel*>(self)->finish(); }

void Connection::Tunnel::on_answer_timeout(void* self) {
  auto* tunnel = static_cast<Tunnel*>(self);
  tunnel->guard_->end_upstream(tunnel->to_client_.waiting);
  tunnel->on_ready();
}

// What one side sends gives it no more time to take what waits for it.
void Connection::Tunnel::start_idle_timer() {
  const bool is_half = to_client_.is_over || to_upstream_.is_over;
  base::SteadyTime end = Clock::steady() + (is_half ? kTunnelStalledTimeout : kTunnelIdleTimeout);
  if (!to_client_.waiting.is_empty()) end = to_client_.waits_since + context_.client.send_timeout;
  if (!to_upstream_.waiting.is_empty())
    end = std::min<base::SteadyTime>(end, to_upstream_.waits_since + kTunnelStalledTimeout);
  idle_timer_.start(context_.loop.timers(), end - Clock::steady());
}

void Connection::Tunnel::finish() {
  if (is_finished_) return;
  is_finished_ = true;
  idle_timer_.stop();
  answer_timer_.stop();
  upstream_->stream.close();
  on_end_(to_client_.moved_bytes, to_upstream_.moved_bytes);
}

void Connection::Tunnel::on_ready() {
  if (is_finished_) return;
  const bool is_alive = move_both() || (drop_upstream() && move_both());
  if (!has_begun_closing_) start_idle_timer();
  // A client that was told to leave is read on: what it still sends would reset the connection and our word
  // with it.
  const bool is_over =
      to_client_.is_over && to_upstream_.is_over && (!is_closing() || to_upstream_.has_read_end);
  if (!is_alive || is_over) finish();
}

bool Connection::Tunnel::move_both() {
  bool is_alive = move(client_, upstream_->stream, to_upstream_);
  if (is_closing()) begin_closing();
  is_alive = is_alive && move(upstream_->stream, client_, to_client_);
  if (is_closing()) begin_closing();
  return is_alive;
}

bool Connection::Tunnel::drop_upstream() {
  if (broken_ != &upstream_->stream || !is_closing()) return false;
  guard_->end_upstream(to_client_.waiting);
  if (!guard_->has_told_client()) return false;
  cut_upstream();
  return true;
}

void Connection::Tunnel::cut_upstream() {
  upstream_->stream.close();
  to_upstream_.waiting.clear();
  to_upstream_.is_over = true;
  to_client_.has_read_end = true;
}

// Each side on its own: the one may be told while the other is within a frame. What waits for it was let pass
// before and goes first; begin_closing() says for how long.
bool Connection::Tunnel::close_websocket(uint16_t code, std::string_view reason) {
  if (!guard_ || is_finished_) return false;
  if (is_closing()) return true;
  const auto told = guard_->dismiss(code, reason, to_client_.waiting, to_upstream_.waiting);
  if (to_upstream_.is_over)
    to_upstream_.waiting.clear();
  else if (!told.is_upstream)
    cut_upstream();
  if (!told.is_client || to_client_.is_over) {
    static_cast<void>(write(upstream_->stream, to_upstream_));  // it is cut with the client
    return false;
  }
  on_ready();
  return true;
}

void Connection::Tunnel::begin_closing() {
  if (has_begun_closing_) return;
  has_begun_closing_ = true;
  idle_timer_.start(context_.loop.timers(), kWebSocketCloseTimeout);
  answer_timer_.start(context_.loop.timers(), kWebSocketAnswerTimeout);
  take({}, to_client_);
}

void Connection::Tunnel::take(std::string_view bytes, Direction& direction) {
  if (!guard_)
    direction.waiting.append(bytes);
  else if (&direction == &to_upstream_)
    guard_->pass_client(bytes, direction.waiting);
  else
    guard_->pass_upstream(bytes, direction.waiting);
}

bool Connection::Tunnel::take_end(Direction& direction) {
  direction.has_read_end = true;
  if (!guard_ || &direction == &to_upstream_) return false;
  guard_->end_upstream(direction.waiting);
  return !direction.waiting.is_empty();
}

bool Connection::Tunnel::is_cut(const Direction& direction) const {
  return is_closing() && (&direction == &to_upstream_ || guard_->has_told_client());
}

// False when the connection broke.
bool Connection::Tunnel::write(tls::Stream& to, Direction& direction) {
  while (!direction.waiting.is_empty() && to.may_write()) {
    const std::string_view bytes = direction.waiting.view();
    const net::IoResult result = to.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    direction.waiting.consume(result.size);
    direction.waits_since = Clock::steady();
    direction.moved_bytes += result.size;
  }
  return true;
}

bool Connection::Tunnel::move(tls::Stream& from, tls::Stream& to, Direction& direction) {
  bool is_moving = true;
  for (int reads = 0; is_moving; reads++) {
    if (reads == upstream::ReadBuffer::kReadsPerTurn) {
      from.call_again();
      return true;
    }
    is_moving = false;
    if (direction.waiting.is_empty()) direction.waits_since = Clock::steady();
    if (!write(to, direction)) return note_broken(to);
    if (direction.waiting.size() < kWaitingMaxBytes && from.may_read() && !direction.has_read_end) {
      char* buffer = upstream::ReadBuffer::data();
      net::IoResult result = from.read(buffer, upstream::ReadBuffer::kSize);
      if (result.status == IoStatus::kError) return note_broken(from);
      if (result.status == IoStatus::kEof) is_moving = take_end(direction);
      if (result.status == IoStatus::kOk) {
        take({buffer, result.size}, direction);
        is_moving = to.may_write() || direction.waiting.size() < kWaitingMaxBytes;
      }
    }
  }
  if ((direction.has_read_end || is_cut(direction)) && direction.waiting.is_empty() && !direction.is_over) {
    direction.is_over = true;
    to.shutdown_write();
  }
  return true;
}

}  // namespace moongate::proxy
