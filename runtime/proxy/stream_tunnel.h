// SPDX-License-Identifier: Apache-2.0
// WebSocket over HTTP/2 (RFC 8441): the client's CONNECT becomes HTTP/1's handshake with the upstream, and
// then the stream carries bytes both ways. tunnel.h is the same for a connection that is HTTP/1 on both
// sides.
#pragma once

#include <memory>

#include "base/byte_queue.h"
#include "base/clock.h"
#include "exchange/exchange.h"
#include "net/timer.h"
#include "proxy/websocket_guard.h"
#include "upstream/pool.h"

namespace moongate::proxy {

class RequestStream;

/// Puts what HTTP/1 needs into a request that came as an extended CONNECT.
void offer_websocket(exchange::Exchange& exchange);
/// Whether the upstream's 101 answers that offer.
bool accepts_websocket(const exchange::Exchange& exchange);

/// Bytes both ways between a stream and an upstream's connection.
///
/// Shape:   what the upstream did not take waits here, and keeps the stream's window closed; what the client
/// did not
///          take waits in the stream.
/// Owner:   the stream.
class StreamTunnel {
 public:
  StreamTunnel(RequestStream& stream, std::unique_ptr<upstream::Connection> upstream,
               std::string_view first_bytes);

  void on_client_data(std::string_view bytes);
  void on_client_end();
  /// See exchange::ClientSide.
  bool close_websocket(uint16_t code, std::string_view reason);
  /// The upstream, or the stream, can be read or written again.
  void on_ready();
  void close();

 private:
  static void on_upstream_ready(void* self) { static_cast<StreamTunnel*>(self)->on_ready(); }
  static void on_idle(void* self);
  static void on_answer_timeout(void* self);
  void start_idle_timer();
  bool push_to_upstream();
  bool pull_from_upstream();
  void take_from_upstream(std::string_view bytes, bool is_last);
  void send_to_client(std::string_view bytes, bool is_last);
  void open_window(size_t size_max);
  bool is_closing() const { return guard_ && guard_->is_closing(); }
  void begin_closing();
  /// Goes on without the upstream, for the client to be told why it is to leave. False when it cannot be
  /// told.
  bool drop_upstream();
  void cut_upstream();

  RequestStream& stream_;
  std::unique_ptr<upstream::Connection> upstream_;
  std::unique_ptr<WebSocketGuard> guard_;
  base::ByteQueue to_upstream_;
  base::SteadyTime waits_since_ = base::Clock::steady();  // and the upstream takes nothing of it
  size_t window_used_ = 0;  // bytes of the client's that its window is still closed by
  net::Timer idle_timer_;
  net::Timer answer_timer_;  // while a client that is to leave gets what the upstream has for it
  bool has_client_ended_ = false;
  bool has_upstream_ended_ = false;
  bool has_begun_closing_ = false;
  bool is_end_passed_on_ = false;  // the client's, to the upstream
};

}  // namespace moongate::proxy
