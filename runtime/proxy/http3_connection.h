// SPDX-License-Identifier: Apache-2.0
// A client connection that speaks HTTP/3: a RequestStream for each request, on the streams of a QUIC
// connection. Packets and frames are quic/'s.
#pragma once

#include <memory>
#include <string>

#include "proxy/stream_connection.h"
#include "quic/connection.h"

namespace moongate::proxy {

/// How HTTP/3 connections are to behave, from the settings.
quic::ConnectionOptions make_quic_options(const ClientOptions& client);

/// Shape:   streams by their own requests.
/// Owner:   the QUIC connection, which outlives its streams.
/// Runs in: one worker's loop.
/// Fails:   faults of the connection end its exchanges; the client is told why where it can be.
class Http3Connection final : public quic::ConnectionHandler, public StreamConnection {
 public:
  Http3Connection(Context& context, quic::Connection& connection);
  ~Http3Connection();

  void on_ready() override;
  void on_stream(int64_t stream, const http::Http2FieldBlock& block, bool is_last) override;
  void on_written() override;
  void on_over() override;
  void drain() override;

  http::StreamSession& session() override { return connection_.http3(); }
  void flush_later() override { connection_.flush_later(); }
  void introduce(exchange::Exchange& exchange) override;
  const tls::Handshake* tls_handshake() const override { return &connection_.handshake(); }
  std::string_view server_address() override;
  uint16_t server_port() override { return connection_.local_address().port(); }
  uint8_t version_major() const override { return 3; }

 private:
  static void on_idle(void* self);
  static void on_grace_over(void* self);
  void on_streams_gone() override;
  void shut_down();

  quic::Connection& connection_;
  net::Timer idle_timer_;   // no stream is open
  net::Timer grace_timer_;  // until the client has heard that the end comes, and then for heads on their way
  uint64_t number_;
  uint32_t requests_ = 0;
  net::SocketAddress peer_;  // of the last request, and in the forms that requests have it
  std::string peer_address_;
  router::Address remote_;
  std::string server_address_;
  bool is_draining_ = false;
  bool is_shut_down_ = false;  // no further stream is taken
  bool is_grace_over_ = false;
  bool is_over_ = false;
};

}  // namespace moongate::proxy
