// SPDX-License-Identifier: Apache-2.0
// The side of an exchange that faces the client, whatever the wire: HTTP/1 connections implement it, and
// streams of HTTP/2 and HTTP/3. The exchange decides what is said; this decides how it is written.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <string_view>

#include "http/fields.h"
#include "tls/handshake.h"
#include "upstream/pool.h"

namespace moongate::exchange {

class Exchange;

/// Takes the request's body as it comes in.
class BodySink {
 public:
  /// Pieces are views that die with the call.
  virtual void on_request_body(const iovec* pieces, int count, bool is_last) = 0;
  /// The lines `name: value\r\n` after a chunked body; before the piece that is last. Not called without any.
  virtual void on_request_trailers(std::string_view lines) { (void)lines; }
  /// The body cannot be had: the client broke its framing (status 400), was too slow (408) or sent too much
  /// (413).
  virtual void on_request_body_failed(uint16_t status, std::string_view reason) = 0;
  /// False while the sink has enough for now; read_body() starts again.
  virtual bool wants_body() const = 0;

 protected:
  ~BodySink() = default;
};

class ClientSide {
 public:
  /// Where the body of the present request goes.
  virtual void set_body_sink(BodySink* sink) = 0;
  /// Sends the exchange's response head (once) with pieces of body behind it. `is_last` ends the answer.
  virtual void send_head(Exchange& exchange, const iovec* pieces, int count, bool is_last) = 0;
  virtual void send_body(Exchange& exchange, const iovec* pieces, int count, bool is_last) = 0;
  /// Lines `name: value\r\n` that follow the last chunk; for answers that are sent in chunks. Before the
  /// piece that is last.
  virtual void set_trailers(std::string_view lines) = 0;
  /// Sends a 1xx head.
  virtual void send_interim(uint16_t status, const http::FieldList& fields) = 0;
  /// True while more waits to be sent than the high watermark; on_client_drained follows.
  virtual bool is_blocked() const = 0;
  /// Wants the request's body, or more of it: it arrives through the body sink. A client that is gone ends
  /// the exchange before this returns.
  virtual void read_body() = 0;
  /// The same for callers that the exchange must outlive: gives what has been received, and looks at the
  /// socket at the end of the turn.
  virtual void read_body_later() = 0;
  /// The answer that comes is the last on this connection: what the client sent cannot be trusted.
  virtual void end_after_answer() = 0;
  /// The answer broke off: the client must not take it for complete.
  virtual void abort_answer() = 0;
  /// Ends a tunnel that is a WebSocket: the client gets a close frame with this code (RFC 6455 7.4), the
  /// upstream one that the client goes away. False when the client cannot be told, for it is within a frame
  /// or this is no WebSocket; its connection is to be cut then.
  virtual bool close_websocket(uint16_t code, std::string_view reason) = 0;
  /// The bytes go both ways from here on; the head that says so has been sent.
  virtual void start_tunnel(std::unique_ptr<upstream::Connection> upstream, std::string_view first_bytes) = 0;
  /// Null when the client speaks in clear.
  virtual const tls::Handshake* tls_handshake() const = 0;
  /// The address and port the client connected to.
  virtual std::string_view server_address() = 0;
  virtual uint16_t server_port() = 0;
  /// Where the same is to be had with HTTP/3; 0 for nowhere.
  virtual uint16_t http3_port() { return 0; }

 protected:
  ~ClientSide() = default;
};

}  // namespace moongate::exchange
