// SPDX-License-Identifier: Apache-2.0
// A connection that carries many requests at a time, as its streams see it: HTTP/2 (http2_session.h) and
// HTTP/3 (quic/http3_session.h) do the same things with other frames. Numbers of streams are the protocol's
// own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/fields.h"
#include "http/http2_fields.h"

namespace moongate::http {

/// Why a stream ends: error codes of RFC 9113 7 that are sent or told apart here. HTTP/3 has others for the
/// same things.
enum class Http2Code : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kStreamClosed = 5,
  kRefusedStream = 7,
  kCancel = 8,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
};

/// What of a body may be sent now.
struct StreamOffer {
  size_t size = 0;
  bool is_last = false;       // nothing follows these bytes; with size 0 and no more to come, ends the stream
  bool has_trailers = false;  // they follow in place of the end
};

/// One stream, as whoever uses it sees it. Called from within the session's receive() and write(): a handler
/// may send and reset, and must not call those two.
class StreamHandler {
 public:
  /// Bytes of the body: a view that dies with the call. consume() opens the windows again.
  virtual void on_data(std::string_view bytes) = 0;
  /// The peer has said everything on this stream.
  virtual void on_last() = 0;
  /// A block of fields. To a server the second one of a stream, trailers: on_last follows, unless the peer
  /// broke the rules (`is_last` false). To a client also the heads of answers, before them.
  virtual void on_fields(const Http2FieldBlock& block, bool is_last) = 0;
  /// To a server, where the session judges messages: what came may not be, and nothing more will come.
  virtual void on_malformed(std::string_view /*reason*/) {}
  /// At most `size_max` bytes of the body are wanted. Nothing and not the last: resume() when there is more.
  virtual StreamOffer offer_data(size_t size_max) = 0;
  /// Appends the next `size` bytes of what was offered to `out`.
  virtual void take_data(size_t size, std::string* out) = 0;
  /// A frame of this stream has been written, with its header and everything.
  virtual void on_frame_sent(size_t size_bytes) = 0;
  /// The stream is no more, the number may not be used again. kNoError: both sides said everything, or a
  /// server wants no more of a request that it has answered.
  virtual void on_closed(Http2Code code) = 0;

 protected:
  ~StreamHandler() = default;
};

/// What streams ask of their connection. A stream that is no more refuses it all without a word: nobody waits
/// for it.
class StreamSession {
 public:
  /// Says who cares for the stream; null for nobody.
  virtual void attach(int64_t stream, StreamHandler* handler) = 0;
  /// Sends a response's head; the fields are copied. With `has_body`, data and the end come from the handler.
  virtual void send_head(int64_t stream, uint16_t status, const FieldList& fields, bool has_body) = 0;
  virtual void send_interim(int64_t stream, uint16_t status, const FieldList& fields) = 0;
  /// Lines `name: value` CR LF: what offer_data announced.
  virtual void send_trailers(int64_t stream, std::string_view lines) = 0;
  /// There is more to offer.
  virtual void resume(int64_t stream) = 0;
  virtual void reset(int64_t stream, Http2Code code) = 0;
  virtual void set_priority(int64_t stream, const Http2Priority& priority) = 0;
  /// Bytes of on_data are dealt with: the windows open again, the connection's also when the stream is no
  /// more.
  virtual void consume(int64_t stream, size_t size) = 0;

 protected:
  ~StreamSession() = default;
};

}  // namespace moongate::http
