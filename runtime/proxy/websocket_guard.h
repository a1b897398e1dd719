// SPDX-License-Identifier: Apache-2.0
// Holds a client's WebSocket to the limits of its route (plugin websocket-limits) while it passes through a
// tunnel: the size of a message, over all its frames, and how many come in a second. What breaks a limit, or
// the protocol, never reaches the upstream; both sides are told by a close frame. Without limits everything
// passes as it comes, and only where frames end is followed, for the gateway to be able to end the WebSocket
// by close frames itself. What is no WebSocket has no guard, and a tunnel is a tunnel.
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
/// Owner:   a tunnel, of HTTP/1.1 (tunnel.h) or HTTP/2 (stream_tunnel.h).
class WebSocketGuard {
 public:
  /// Null when the exchange has no limits and is no WebSocket. To be called when the upstream's handshake is
  /// there.
  static std::unique_ptr<WebSocketGuard> make(const exchange::Exchange& exchange);

  /// Appends what may go on to the upstream, and a close frame when that is the end.
  void pass_client(std::string_view bytes, base::ByteQueue& to_upstream);
  /// Appends what may go on to the client. A client that broke a limit still gets what the upstream answers
  /// to its messages before, up to the upstream's close frame; then our own, then nothing.
  void pass_upstream(std::string_view bytes, base::ByteQueue& to_client);
  /// Nothing more is expected of the upstream, it has ended or had its time: a client that is to be told is
  /// told now, or when the frame that has begun is whole.
  void end_upstream(base::ByteQueue& to_client);

  /// True when `bytes` of the upstream's pass as they came, and need not be copied; else they are
  /// pass_upstream()'s.
  bool follow_upstream(std::string_view bytes);

  /// Which sides could be told.
  struct Told {
    bool is_client = false;
    bool is_upstream = false;
  };
  /// The gateway ends the WebSocket: nothing passes any more either way. Appends a close frame for each side
  /// that has had none. A side that is within a frame is not told, since that would be payload: it is to be
  /// cut.
  Told dismiss(uint16_t code, std::string_view reason, base::ByteQueue& to_client,
               base::ByteQueue& to_upstream);

  /// A limit, or the protocol, was broken, or the gateway ends it: nothing of the client's passes any more.
  bool is_closing() const { return close_code_ != 0; }
  /// Everything that the client is to get was passed.
  bool has_told_client() const { return has_told_client_; }

 private:
  WebSocketGuard(const exchange::Exchange& exchange, const http::WebSocketFrames::Options& client,
                 const http::WebSocketFrames::Options& upstream);
  bool take_message();
  bool admit(const http::WebSocketFrame& frame);
  bool is_between_frames(const http::WebSocketFrames& frames) const;
  void close(uint16_t code, std::string reason);
  static void tell_upstream(base::ByteQueue& to_upstream);
  void tell_client(base::ByteQueue& to_client);

  const exchange::WebSocketLimits limits_;
  const bool is_limited_;  // else what comes passes as it is
  const std::string who_;
  http::WebSocketFrames from_client_;
  http::WebSocketFrames from_upstream_;
  double allowance_;  // messages that may come now
  base::SteadyTime counted_at_;
  uint16_t close_code_ = 0;
  std::string close_reason_;
  bool has_client_closed_ = false;    // by a close frame of its own, which has passed
  bool has_upstream_closed_ = false;  // likewise
  bool has_upstream_ended_ = false;   // it is not waited for
  bool has_told_client_ = false;
};

}  // namespace moongate::proxy
