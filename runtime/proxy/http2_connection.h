// SPDX-License-Identifier: Apache-2.0
// What a client connection becomes once it speaks HTTP/2: frames in, frames out, and a RequestStream for each
// request. The socket stays the Connection's, which told the two protocols apart and takes it back at the
// end.
#pragma once

#include <memory>

#include "base/byte_queue.h"
#include "http/http2_session.h"
#include "proxy/connection.h"
#include "proxy/stream_connection.h"

namespace moongate::proxy {

/// The HTTP/2 half of a client connection.
///
/// Shape:   streams by their own requests; what they have to say goes out once a turn.
/// Owner:   the Connection.
/// Runs in: one worker's loop.
/// Fails:   faults of the connection end its exchanges; the client is told why where it can be.
class Http2Connection final : public http::Http2Handler, public StreamConnection {
 public:
  Http2Connection(Context& context, Connection& owner, tls::Stream& stream);
  ~Http2Connection();

  /// `received` begins with the preface.
  void start(std::string_view received);
  void on_ready();
  /// Accepts no more streams, and ends with the last.
  void drain();
  /// Ends the exchanges at once.
  void end();

  void on_stream(int32_t stream, const http::Http2FieldBlock& block, bool is_last) override;
  void on_shutdown_heard() override;

  http::StreamSession& session() override { return *session_; }
  void flush_later() override { flush_.schedule(context_.loop); }
  void introduce(exchange::Exchange& exchange) override { owner_.introduce(exchange); }
  const tls::Handshake* tls_handshake() const override { return stream_.session(); }
  std::string_view server_address() override { return owner_.server_address(); }
  uint16_t server_port() override { return owner_.server_port(); }
  uint16_t http3_port() override { return owner_.http3_port(); }
  uint8_t version_major() const override { return 2; }

 private:
  static void on_flush(void* self);
  static void on_idle(void* self);
  static void on_slow_block(void* self);
  static void on_slow_reader(void* self);
  static void on_grace_over(void* self);
  void read();
  bool receive(std::string_view bytes);
  void on_eof();
  void flush();
  bool write(std::string_view bytes, size_t* taken);
  bool push_unsent();
  bool send(std::string_view bytes);
  void shut_down();
  void on_streams_gone() override;
  [[gnu::cold]] void fail();
  void end_if_over();
  void close();

  Connection& owner_;
  tls::Stream& stream_;
  std::unique_ptr<http::Http2Session> session_;
  net::Deferred flush_;
  net::Timer idle_timer_;   // no stream is open
  net::Timer block_timer_;  // a block of fields is not whole
  net::Timer send_timer_;   // the socket takes nothing
  net::Timer grace_timer_;  // until the client has heard that the end comes
  uint32_t requests_ = 0;
  base::ByteQueue unsent_;
  bool is_draining_ = false;
  bool is_shut_down_ = false;  // no further stream is taken
  bool has_failed_ = false;    // nothing more is read
  bool is_eof_ = false;
  bool is_closed_ = false;
};

}  // namespace moongate::proxy
