// SPDX-License-Identifier: Apache-2.0
// Holds a client's WebSocket to the limits of its route (plugin websocket-limits) while it passes through a
// tunnel: the size of a message, over all its frames, and how many come in a second. What breaks a limit, or
// the protocol, never reaches the upstream; both sides are told by a close frame. Without limits there is no
// guard, and a tunnel is a tunnel.
#pragma once

#include <memory>
#include <string>

#include "base/byte_queue.h"
#include "base/clock.h"
#include "exchange/exchange.h"
#include "http/websocket_frames.h"

namespace moongate::proxy {

constexpr auto kWebSocketAnswerTimeout = std::chrono::seconds(1);  // for the upstream's last words
constexpr auto kWebSocketCloseTimeout = std::chrono::seconds(5);   // for the client to leave once it was told

/// Shape:   passes frames on as they come; keeps no payload.
/// Owner:   a tunnel, of HTTP/1.1 (tunnel.h) or HTTP/2 (http2_tunnel.h).
class WebSocketGuard {
 public:
  /// Null when the exchange has no limits. To be called when the upstream's handshake is there.
  static std::unique_ptr<WebSocketGuard> make(const exchange::Exchange& exchange);

  /// Appends what may go on to the upstream, and a close frame when that is the end.
  void pass_client(std::string_view bytes, base::ByteQueue& to_upstream);
  /// Appends what may go on to the client. A client that broke a limit still gets what the upstream answers
  /// to its messages before, up to the upstream's close frame; then our own, then nothing.
  void pass_upstream(std::string_view bytes, base::ByteQueue& to_client);
  /// Nothing more is expected of the upstream, it has ended or had its time: a client that is to be told is
  /// told now, or when the frame that has begun is whole.
  void end_upstream(base::ByteQueue& to_client);

  /// A limit, or the protocol, was broken: nothing of the client's passes any more.
  bool is_closing() const { return close_code_ != 0; }
  /// Everything that the client is to get was passed.
  bool has_told_client() const { return has_told_client_; }

 private:
  WebSocketGuard(const exchange::Exchange& exchange, const http::WebSocketFrames::Options& client,
                 const http::WebSocketFrames::Options& upstream);
  bool take_message();
  bool admit(const http::WebSocketFrame& frame);
  void close(uint16_t code, std::string reason);
  static void tell_upstream(base::ByteQueue& to_upstream);
  void tell_client(base::ByteQueue& to_client);

  const exchange::WebSocketLimits limits_;
  const std::string who_;
  http::WebSocketFrames from_client_;
  http::WebSocketFrames from_upstream_;
  double allowance_;  // messages that may come now
  base::SteadyTime counted_at_;
  uint16_t close_code_ = 0;
  std::string close_reason_;
  bool has_client_closed_ = false;    // by a close frame of its own
  bool has_upstream_closed_ = false;  // likewise
  bool has_upstream_ended_ = false;   // it is not waited for
  bool has_told_client_ = false;
};

}  // namespace moongate::proxy
