// SPDX-License-Identifier: Apache-2.0
#include "proxy/http2_tunnel.h"

#include "proxy/http2_connection.h"
#include "proxy/tunnel.h"
#include "tls/digest.h"

extern "C" size_t mg_base64_encode(const char* data, size_t size, int is_url, int is_padded, char* out);

namespace moongate::proxy {

using exchange::Ending;
using exchange::Exchange;
using net::IoStatus;

namespace {

constexpr std::string_view kKeyField = "Sec-WebSocket-Key";
constexpr size_t kEncodedMaxBytes = 32;

std::string encode(const char* bytes, size_t size) {
  char text[kEncodedMaxBytes];
  return {text, mg_base64_encode(bytes, size, 0, 1, text)};
}

}  // namespace

// HTTP/2 has no key: nothing of a stream can be mistaken for a connection. The upstream wants one.
void offer_websocket(Exchange& exchange) {
  constexpr size_t kKeyBytes = 16;
  char digest[tls::kDigestMaxBytes];
  tls::digest("sha256", exchange.request_id(), digest);
  exchange.request.fields.set(kKeyField, exchange.arena.copy(encode(digest, kKeyBytes)));
  exchange.request.fields.set("Upgrade", "websocket");
}

bool accepts_websocket(const Exchange& exchange) {
  const http::Field* key = exchange.request.fields.find(kKeyField);
  const http::Field* accept = exchange.response.fields.find("Sec-WebSocket-Accept");
  if (!key || !accept) return false;
  char digest[tls::kDigestMaxBytes];
  const std::string text = std::string(key->value) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
  return accept->value == encode(digest, tls::digest("sha1", text, digest));
}

Http2Tunnel::Http2Tunnel(Http2Stream& stream, std::unique_ptr<upstream::Connection> upstream,
                         std::string_view first_bytes)
    : stream_(stream), upstream_(std::move(upstream)), idle_timer_(on_idle, this) {
  upstream_->stream.redirect(on_upstream_ready, this);
  iovec piece{const_cast<char*>(first_bytes.data()), first_bytes.size()};
  if (!first_bytes.empty()) stream_.send_body(*stream_.exchange_, &piece, 1, false);
}

void Http2Tunnel::close() {
  idle_timer_.stop();
  upstream_->stream.close();
}

void Http2Tunnel::on_idle(void* self) {
  static_cast<Http2Tunnel*>(self)->stream_.reset(http::Http2Code::kCancel, Ending::kComplete);
}

void Http2Tunnel::on_client_data(std::string_view bytes) {
  to_upstream_.append(bytes);
  on_ready();
}

void Http2Tunnel::on_client_end() {
  has_client_ended_ = true;
  on_ready();
}

void Http2Tunnel::on_ready() {
  if (!stream_.exchange_) return;
  idle_timer_.start(stream_.context_.loop.timers(), kTunnelIdleTimeout);
  if (!push_to_upstream() || !pull_from_upstream())
    stream_.reset(http::Http2Code::kConnectError, Ending::kUpstreamBroke);
}

// False when the upstream's connection broke.
bool Http2Tunnel::push_to_upstream() {
  while (!to_upstream_.is_empty() && upstream_->stream.may_write()) {
    const std::string_view bytes = to_upstream_.view();
    const net::IoResult result = upstream_->stream.write(bytes.data(), bytes.size());
    if (result.status == IoStatus::kError) return false;
    if (result.status != IoStatus::kOk) break;
    to_upstream_.consume(result.size);
    stream_.connection_->consume(stream_.id_, result.size);
  }
  if (!has_client_ended_ || !to_upstream_.is_empty() || is_end_passed_on_) return true;
  is_end_passed_on_ = true;
  upstream_->stream.shutdown_write();
  return true;
}

bool Http2Tunnel::pull_from_upstream() {
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
    has_upstream_ended_ = result.status == IoStatus::kEof;
    iovec piece{buffer, result.size};
    stream_.send_body(*stream_.exchange_, &piece, has_upstream_ended_ ? 0 : 1, has_upstream_ended_);
  }
  return true;
}

}  // namespace moongate::proxy
