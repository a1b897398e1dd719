// SPDX-License-Identifier: Apache-2.0
#include "proxy/http3_connection.h"

namespace moongate::proxy {

namespace {

constexpr auto kShutdownGrace = std::chrono::seconds(1);

}  // namespace

quic::ConnectionOptions make_quic_options(const ClientOptions& client) {
  quic::ConnectionOptions options;
  options.http3.head = client.head;
  options.http3.resets_max = client.http2_resets_max;
  options.streams_max = client.http2_streams_max;
  options.stream_window_bytes = client.http2_window_bytes;
  options.connection_window_bytes = StreamConnection::connection_window_bytes(client);
  options.head_timeout = client.header_timeout;
  // Some round trips: those who never finish theirs take room from those who would.
  constexpr std::chrono::milliseconds kHandshakeMax = std::chrono::seconds(10);
  options.handshake_timeout = std::min(client.header_timeout, kHandshakeMax);
  // A client that does not even acknowledge for that long is gone; it is asked while requests are open.
  options.idle_timeout = std::max({client.keepalive_timeout, client.body_timeout, client.send_timeout});
  return options;
}

Http3Connection::Http3Connection(Context& context, quic::Connection& connection)
    : StreamConnection(context),
      connection_(connection),
      idle_timer_(on_idle, this),
      grace_timer_(on_grace_over, this),
      number_(++context.connections_accepted) {
  context.connection_count++;
}

Http3Connection::~Http3Connection() { on_over(); }

void Http3Connection::on_ready() {
  idle_timer_.start(context_.loop.timers(), context_.client.header_timeout);
  if (context_.is_draining) drain();
}

void Http3Connection::on_stream(int64_t stream, const http::Http2FieldBlock& block, bool is_last) {
  idle_timer_.stop();
  if (!has_streams()) connection_.keep_alive(true);
  requests_++;
  begin_stream(stream, block, is_last);
  if (requests_ >= context_.client.keepalive_requests) drain();
}

void Http3Connection::on_streams_gone() {
  if (is_over_) return;
  connection_.keep_alive(false);
  idle_timer_.start(context_.loop.timers(), context_.client.keepalive_timeout);
  flush_later();  // it may have been the last
}

void Http3Connection::on_written() {
  tell_drained();
  // A request that has begun before the client heard of the end is served, too.
  if (!is_shut_down_ || has_streams()) return;
  if (is_grace_over_ || !connection_.http3().has_unfinished_heads())
    connection_.close(quic::Http3Code::kNoError);
}

// --- the end

void Http3Connection::on_over() {
  if (is_over_) return;
  is_over_ = true;
  idle_timer_.stop();
  grace_timer_.stop();
  leave_all();
  context_.connection_count--;
}

// First only that the end comes, since requests may be under way that a number of the last would refuse.
void Http3Connection::drain() {
  if (is_draining_ || is_shut_down_ || is_over_) return;
  if (!connection_.is_ready()) return connection_.close(quic::Http3Code::kNoError);
  is_draining_ = true;
  connection_.http3().announce_shutdown();
  grace_timer_.start(context_.loop.timers(), kShutdownGrace);
  flush_later();
}

void Http3Connection::shut_down() {
  if (!is_shut_down_) connection_.http3().shut_down();
  is_shut_down_ = true;
  grace_timer_.start(context_.loop.timers(), context_.client.header_timeout);
  flush_later();
}

void Http3Connection::on_idle(void* self) { static_cast<Http3Connection*>(self)->shut_down(); }
void Http3Connection::on_grace_over(void* self) {
  auto* connection = static_cast<Http3Connection*>(self);
  if (!connection->is_shut_down_) return connection->shut_down();
  connection->is_grace_over_ = true;
  connection->flush_later();
}

// --- whom it is with

// The client's address may change while the connection goes on: each request has the one it came from.
void Http3Connection::introduce(exchange::Exchange& exchange) {
  if (const net::SocketAddress peer = connection_.peer_address(); !(peer == peer_)) {
    peer_ = peer;
    peer_address_ = peer.host_text();
    if (auto address = router::parse_address(peer_address_)) remote_ = *address;
  }
  exchange.connection_number = number_;
  exchange.is_tls = true;
  exchange.peer_address = exchange.arena.copy(peer_address_);
  exchange.peer_port = peer_.port();
  exchange.remote = remote_;
}

std::string_view Http3Connection::server_address() {
  if (server_address_.empty()) server_address_ = connection_.local_address().host_text();
  return server_address_;
}

}  // namespace moongate::proxy
