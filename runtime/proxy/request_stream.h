// SPDX-License-Identifier: Apache-2.0
// One request and its answer on a connection that carries many, HTTP/2 or HTTP/3: what the client's side of
// an exchange is there. Frames and sockets are the connection's.
#pragma once

#include <memory>
#include <string>

#include "base/byte_queue.h"
#include "http/stream_session.h"
#include "net/timer.h"
#include "proxy/context.h"

namespace moongate::proxy {

class StreamTunnel;
class StreamConnection;

/// One stream from a client.
///
/// Shape:   two queues: of the request's body what nobody took yet (as much as its window), of the answer
/// what the
///          client did not take yet (one read of the upstream above the high watermark at most).
/// Owner:   its connection; between streams the context, which gives it to the next.
/// Runs in: one worker's loop.
/// Fails:   faults of the request are answered with 4xx; a client that is too slow has the stream reset.
class RequestStream final : public exchange::ClientSide, public http::StreamHandler {
 public:
  explicit RequestStream(Context& context);
  ~RequestStream();

  /// The head is there: an exchange begins.
  void start(StreamConnection& connection, int64_t id, const http::Http2FieldBlock& block, bool is_last);
  /// Ends the exchange; the stream is its connection's to forget.
  void leave(exchange::Ending ending);
  int64_t id() const { return id_; }
  /// The client has said everything.
  bool has_ended() const { return has_ended_; }
  /// Some of the answer has not been sent.
  bool has_pending() const { return !pending_.is_empty(); }
  /// The answer's queue has gone below the low watermark since it was above the high one.
  void tell_drained();

  void set_body_sink(exchange::BodySink* sink) override { sink_ = sink; }
  void send_head(exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last) override;
  void send_body(exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last) override;
  void set_trailers(std::string_view lines) override { trailers_ = lines; }
  void send_interim(uint16_t status, const http::FieldList& fields) override;
  bool is_blocked() const override { return pending_.size() > kPendingHighBytes; }
  void read_body() override;
  void read_body_later() override { read_body(); }  // what has not come cannot be asked for
  void end_after_answer() override {
  }  // a request that cannot be trusted says nothing about the frames of others
  [[gnu::cold]] void abort_answer() override;
  [[gnu::cold]] bool close_websocket(uint16_t code, std::string_view reason) override;
  void start_tunnel(std::unique_ptr<upstream::Connection> upstream, std::string_view first_bytes) override;
  const tls::Handshake* tls_handshake() const override;
  std::string_view server_address() override;
  uint16_t server_port() override;
  uint16_t http3_port() override;

  void on_data(std::string_view bytes) override;
  void on_last() override;
  void on_malformed(std::string_view reason) override;
  void on_fields(const http::Http2FieldBlock& block, bool is_last) override;
  http::StreamOffer offer_data(size_t size_max) override;
  void take_data(size_t size, std::string* out) override;
  void on_frame_sent(size_t size_bytes) override;
  void on_closed(http::Http2Code code) override;

  RequestStream** place = nullptr;  // in the connection's list
  RequestStream* next = nullptr;

 private:
  friend class StreamTunnel;
  static void on_timeout(void* self);
  void begin_reading();
  bool take_head(const http::Http2FieldBlock& block, bool is_last);
  void deliver();
  void give(std::string_view bytes, bool is_last);
  [[gnu::cold]] void fail_body(uint16_t status, std::string_view reason);
  void note_malformed(uint16_t status);
  bool has_length_0() const;
  void drop_received();
  bool refuses_connect(exchange::Exchange& exchange);
  size_t queue(const iovec* pieces, int count, bool is_last);
  bool is_waiting() const;
  void reset(http::Http2Code code, exchange::Ending ending);
  void finish_exchange(exchange::Ending ending);
  void arm(std::chrono::milliseconds timeout);
  void arm_for_client();
  void arm_for_request();
  bool ends_with_reset() const;

  static constexpr size_t kPendingHighBytes = 64 * 1024;
  static constexpr size_t kPendingLowBytes = 16 * 1024;

  Context& context_;
  StreamConnection* connection_ = nullptr;
  int64_t id_ = 0;
  exchange::Exchange* exchange_ = nullptr;
  exchange::BodySink* sink_ = nullptr;
  net::Timer timer_;
  // The request.
  base::ByteQueue received_;  // and not taken yet
  std::string request_trailers_;
  uint64_t body_received_ = 0;
  uint16_t fault_status_ = 0;  // what came is no body; told to whoever asks for it
  std::string_view fault_reason_;
  bool is_malformed_ = false;  // the answer, which may say why, ends with a reset (RFC 9113 8.1.1)
  bool has_ended_ = false;
  bool is_given_ = false;   // and all of it was taken, or none will be
  bool is_wanted_ = false;  // somebody asked for the body
  bool has_continued_ = false;
  // The answer.
  base::ByteQueue pending_;
  std::string trailers_;
  uint64_t answer_left_ = 0;  // of an answer with a length
  bool has_answer_length_ = false;
  bool is_without_body_ = false;
  bool is_answer_ended_ = false;
  bool is_end_sent_ = false;     // or goes with the next frame
  bool is_end_awaited_ = false;  // the client tells when it has the end, and is waited for
  bool is_broken_ = false;       // and not because it is whole
  bool was_blocked_ = false;
  std::unique_ptr<StreamTunnel> tunnel_;
};

}  // namespace moongate::proxy
