// SPDX-License-Identifier: Apache-2.0
// What client connections that carry many requests at a time have in common, HTTP/2 and HTTP/3: their
// streams.
#pragma once

#include <vector>

#include "http/stream_session.h"
#include "proxy/context.h"
#include "proxy/request_stream.h"
#include "tls/handshake.h"

namespace moongate::proxy {

/// The streams of one connection, and what they ask of it.
///
/// Shape:   a list; streams are recycled by the context.
/// Owner:   whoever derives from it, and ends all streams before it goes.
/// Runs in: one worker's loop.
class StreamConnection {
 public:
  virtual http::StreamSession& session() = 0;
  /// There is something to send: it goes out at the end of the turn.
  virtual void flush_later() = 0;
  virtual void introduce(exchange::Exchange& exchange) = 0;
  /// Null in clear.
  virtual const tls::Handshake* tls_handshake() const = 0;
  virtual std::string_view server_address() = 0;
  virtual uint16_t server_port() = 0;
  virtual uint16_t http3_port() { return 0; }
  /// 2 or 3.
  virtual uint8_t version_major() const = 0;

  /// What all streams together may have that nobody has read yet.
  static uint32_t connection_window_bytes(const ClientOptions& client) {
    return 8 * client.http2_window_bytes;
  }
  /// Bytes of a body have come, and are dealt with.
  void note_received(size_t size) { unread_bytes_ += size; }
  void consume(int64_t stream, size_t size) {
    unread_bytes_ -= size;
    session().consume(stream, size);
    flush_later();
  }
  /// Others have most of the connection's window: a stream that sends nothing may not be able to.
  bool is_input_held() const { return unread_bytes_ > connection_window_bytes(context_.client) / 2; }
  /// The stream's queue has gone below its low watermark: it is told when nothing is being written.
  void note_drained(int64_t stream) { drained_.push_back(stream); }
  /// The stream is no more.
  void forget(RequestStream& stream);

 protected:
  explicit StreamConnection(Context& context) : context_(context) {}
  ~StreamConnection();
  void begin_stream(int64_t id, const http::Http2FieldBlock& block, bool is_last);
  template <class IsMeant>
  void leave_those(IsMeant is_meant) {
    for (RequestStream* stream = streams_; stream;) {
      RequestStream* after = stream->next;
      if (is_meant(*stream)) {
        stream->leave(exchange::Ending::kClientGone);
        forget(*stream);
      }
      stream = after;
    }
  }
  void leave_all() {
    leave_those([](const RequestStream&) { return true; });
  }
  /// Those who are told send at once.
  void tell_drained();
  /// WebSockets are told that we go away; what that gives is still to be written.
  void close_websockets();
  bool has_streams() const { return streams_ != nullptr; }
  /// The last stream has been forgotten.
  virtual void on_streams_gone() = 0;

  Context& context_;

 private:
  RequestStream* streams_ = nullptr;
  size_t unread_bytes_ = 0;
  std::vector<int64_t> drained_;
};

}  // namespace moongate::proxy
