// SPDX-License-Identifier: Apache-2.0
#include "proxy/stream_tunnel.h"

#include <algorithm>

#include "base/base64.h"
#include "proxy/http2_connection.h"
#include "proxy/tunnel.h"
#include "tls/digest.h"

namespace moongate::proxy {

using base::Clock;
using exchange::Ending;
using exchange::Exchange;
using net::IoStatus;

namespace {

constexpr std::string_view kKeyField = "Sec-WebSocket-Key";

}  // namespace

// HTTP/2 has no key: nothing of a stream can be mistaken for a connection. The upstream wants one.
void offer_websocket(Exchange& exchange) {
  constexpr size_t kKeyBytes = 16;
  char digest[tls::kDigestMaxBytes];
  tls::digest("sha256", exchange.request_id(), digest);
  exchange.request.fields.set(kKeyField, exchange.arena.copy(base::to_base64({digest, kKeyBytes})));
  exchange.request.fields.set("Upgrade", "websocket");
}

bool accepts_websocket(const Exchange& exchange) {
  const http::Field* key = exchange.request.fields.find(kKeyField);
  const http::Field* accept = exchange.response.fields.find("Sec-WebSocket-Accept");
  if (!key || !accept) return false;
  char digest[tls::kDigestMaxBytes];
  const std::string text = std::string(key->value) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
  return accept->value == base::to_base64({digest, tls::digest("sha1", text, digest)});
}

StreamTunnel::StreamTunnel(RequestStream& stream, std::unique_ptr<upstream::Connection> upstream,
                           std::string_view first_bytes)
    : stream_(stream),
      upstream_(std::move(upstream)),
      guard_(WebSocketGuard::make(*stream.exchange_)),
      idle_timer_(on_idle, this),
      answer_timer_(on_answer_timeout, this) {
  upstream_->stream.redirect(on_upstream_ready, this);
  if (!first_bytes.empty()) take_from_upstream(first_bytes, false);
}

void StreamTunnel::close() {
  idle_timer_.stop();
  answer_timer_.stop();
  open_window(window_used_);  // what is dropped must not take the connection's window along
  upstream_->stream.close();
}

void StreamTunnel::on_idle(void* self) {
  static_cast<StreamTunnel*>(self)->stream_.reset(http::Http2Code::kCancel, Ending::kComplete);
}

void StreamTunnel::on_answer_timeout(void* self) { static_cast<StreamTunnel*>(self)->drop_upstream(); }

// What the client does not take the stream has a time limit for. The upstream gets no more time to take what
// waits for it by what either sends.
void StreamTunnel::start_idle_timer() {
  base::SteadyTime end = Clock::steady() + (has_client_ended_ ? kTunnelStalledTimeout : kTunnelIdleTimeout);
  if (!to_upstream_.is_empty()) end = std::min<base::SteadyTime>(end, waits_since_ + kTunnelStalledTimeout);
  idle_timer_.start(stream_.context_.loop.timers(), end - Clock::steady());
}

void StreamTunnel::on_client_data(std::string_view bytes) {
  if (!stream_.exchange_) return stream_.connection_->consume(stream_.id_, bytes.size());
  window_used_ += bytes.size();
  if (to_upstream_.is_empty()) waits_since_ = Clock::steady();
  if (guard_)
    guard_->pass_client(bytes, to_upstream_);
  else
    to_upstream_.append(bytes);
  on_ready();
}

void StreamTunnel::on_client_end() {
  has_client_ended_ = true;
  on_ready();
}

void StreamTunnel::on_ready() {
  if (!stream_.exchange_) return;
  if (is_closing()) begin_closing();
  const bool is_alive = push_to_upstream() && pull_from_upstream();
  if (is_closing()) begin_closing();
  if (!has_begun_closing_) start_idle_timer();
  if (!is_alive && !drop_upstream()) stream_.reset(http::Http2Code::kConnectError, Ending::kUpstreamBroke);
}

void StreamTunnel::begin_closing() {
  if (has_begun_closing_) return;
  has_begun_closing_ = true;
  idle_timer_.start(stream_.context_.loop.timers(), kWebSocketCloseTimeout);
  answer_timer_.start(stream_.context_.loop.timers(), kWebSocketAnswerTimeout);
  if (!has_upstream_ended_) take_from_upstream({}, false);
}

bool StreamTunnel::drop_upstream() {
  if (!is_closing()) return false;
  base::ByteQueue passed;
  guard_->end_upstream(passed);
  if (!has_upstream_ended_) send_to_client(passed.view(), false);
  return has_upstream_ended_;
}

void StreamTunnel::cut_upstream() {
  upstream_->stream.close();
  to_upstream_.clear();
  is_end_passed_on_ = true;
}

// As tunnel.cpp does it.
bool StreamTunnel::close_websocket(uint16_t code, std::string_view reason) {
  if (!guard_) return false;
  if (is_closing()) return true;
  base::ByteQueue to_client;
  const auto told = guard_->dismiss(code, reason, to_client, to_upstream_);
  if (is_end_passed_on_)
    to_upstream_.clear();
  else if (!told.is_upstream)
    cut_upstream();
  if (!told.is_client || has_upstream_ended_) {
    static_cast<void>(push_to_upstream());
    return false;
  }
  send_to_client(to_client.view(), false);
  on_ready();
  return true;
}

void StreamTunnel::take_from_upstream(std::string_view bytes, bool is_last) {
  if (!guard_ || guard_->follow_upstream(bytes)) return send_to_client(bytes, is_last);
  base::ByteQueue passed;
  guard_->pass_upstream(bytes, passed);
  if (is_last) guard_->end_upstream(passed);
  send_to_client(passed.view(), is_last);
}

// The stream ends with the upstream, or when the guard has told the client that it does.
void StreamTunnel::send_to_client(std::string_view bytes, bool is_last) {
  has_upstream_ended_ = is_last || (is_closing() && guard_->has_told_client());
  if (bytes.empty() && !has_upstream_ended_) return;
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  stream_.send_body(*stream_.exchange_, &piece, bytes.empty() ? 0 : 1, has_upstream_ended_);
}

// What the guard keeps or adds is no part of what the client sent: only that opens its window.
void StreamTunnel::open_window(size_t size_max) {
  const size_t size = std::min(size_max, window_used_);
  window_used_ -= size;
  if (size > 0) stream_.connection_->consume(stream_.id_, size);
}

// False when the upstream's connection broke.
bool StreamTunnel::push_to_upstream() {
  while (!to_upstream_.is_empty() && upstream_->stream.may_write()) {
    const std::string_view bytes = to_upstream_.view();
    const net::IoResult result = upstream_->stream.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    to_upstream_.consume(result.size);
    waits_since_ = Clock::steady();
    open_window(result.size);
  }
  if (!to_upstream_.is_empty()) return true;
  open_window(window_used_);
  if (!(has_client_ended_ || is_closing()) || is_end_passed_on_) return true;
  is_end_passed_on_ = true;
  upstream_->stream.shutdown_write();
  return true;
}

bool StreamTunnel::pull_from_upstream() {
  for (int reads = 0; !has_upstream_ended_ && !stream_.is_blocked() && upstream_->stream.may_read();
       reads++) {
    if (reads == upstream::ReadBuffer::kReadsPerTurn) {
      upstream_->stream.call_again();
      return true;
    }
    char* buffer = upstream::ReadBuffer::data();
    const net::IoResult result = upstream_->stream.read(buffer, upstream::ReadBuffer::kSize);
    if (result.status == IoStatus::kError) return false;
    if (result.status == IoStatus::kBlocked) return true;
    take_from_upstream({buffer, result.size}, result.status == IoStatus::kEof);
  }
  return true;
}

}  // namespace moongate::proxy
