// SPDX-License-Identifier: Apache-2.0
#include "proxy/tunnel.h"

namespace moongate::proxy {

using net::IoStatus;

Connection::Tunnel::Tunnel(Context& context, tls::Stream& client,
                           std::unique_ptr<upstream::Connection> upstream, OnEnd on_end)
    : context_(context),
      client_(client),
      upstream_(std::move(upstream)),
      on_end_(std::move(on_end)),
      idle_timer_(on_idle, this) {
  upstream_->stream.redirect(on_upstream_ready, this);
}

void Connection::Tunnel::on_idle(void* self) { static_cast<Tunnel*>(self)->finish(); }

void Connection::Tunnel::finish() {
  if (is_finished_) return;
  is_finished_ = true;
  idle_timer_.stop();
  upstream_->stream.close();
  on_end_(to_client_.moved_bytes, to_upstream_.moved_bytes);
}

void Connection::Tunnel::on_ready() {
  if (is_finished_) return;
  idle_timer_.start(context_.loop.timers(), kTunnelIdleTimeout);
  bool is_alive =
      move(client_, upstream_->stream, to_upstream_) && move(upstream_->stream, client_, to_client_);
  if (!is_alive || (to_client_.is_over && to_upstream_.is_over)) finish();
}

bool Connection::Tunnel::move(tls::Stream& from, tls::Stream& to, Direction& direction) {
  bool is_moving = true;
  for (int reads = 0; is_moving; reads++) {
    if (reads == upstream::ReadBuffer::kReadsPerTurn) {
      from.call_again();
      return true;
    }
    is_moving = false;
    while (!direction.waiting.is_empty() && to.may_write()) {
      std::string_view bytes = direction.waiting.view();
      net::IoResult result = to.write(bytes.data(), bytes.size());
      if (result.status == IoStatus::kError) return false;
      if (result.status != IoStatus::kOk) break;
      direction.waiting.consume(result.size);
      direction.moved_bytes += result.size;
    }
    if (direction.waiting.size() < kWaitingMaxBytes && from.may_read() && !direction.has_read_end) {
      char* buffer = upstream::ReadBuffer::data();
      net::IoResult result = from.read(buffer, upstream::ReadBuffer::kSize);
      if (result.status == IoStatus::kError) return false;
      if (result.status == IoStatus::kEof) direction.has_read_end = true;
      if (result.status == IoStatus::kOk) {
        direction.waiting.append({buffer, result.size});
        is_moving = to.may_write() || direction.waiting.size() < kWaitingMaxBytes;
      }
    }
  }
  if (direction.has_read_end && direction.waiting.is_empty() && !direction.is_over) {
    direction.is_over = true;
    to.shutdown_write();
  }
  return true;
}

}  // namespace moongate::proxy
