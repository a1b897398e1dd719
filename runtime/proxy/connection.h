// SPDX-License-Identifier: Apache-2.0
// One connection from a client. Bytes of HTTP/1 become requests here, and answers become bytes: one exchange
// at a time; further pipelined requests wait in the socket. An idle connection holds no buffer. One that
// speaks HTTP/2 is handed to http2_connection.h with its socket.
#pragma once

#include <memory>
#include <string>

#include "base/byte_queue.h"
#include "http/chunked.h"
#include "proxy/context.h"
#include "tls/stream.h"

namespace moongate::proxy {

class Http2Connection;

struct ListenerTraits {
  bool is_proxy_protocol = false;
  bool is_tls = false;
  tls::Protocols protocols = tls::Protocols::kHttp1;
  uint16_t http3_port = 0;  // where HTTP/3 is spoken beside it; 0 for nowhere
};

/// The thread's buffer for what clients send. Not the upstream's: a request being forwarded may still be here
/// when the answer is read.
char* client_read_buffer();

/// One client connection.
///
/// Shape:   a state machine over two directions; see State. At most one Exchange.
/// Owner:   the Context's list; frees itself at the end of the turn in which it closed.
/// Runs in: one worker's loop.
/// Fails:   faults in the request are answered with 4xx and close; faults of the socket end the exchange.
class Connection final : public exchange::ClientSide {
 public:
  Connection(Context& context, int fd, const net::SocketAddress& peer, ListenerTraits traits);
  ~Connection();

  void send_head(exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last) override;
  void send_body(exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last) override;
  void set_trailers(std::string_view lines) override { trailers_ = lines; }
  void send_interim(uint16_t status, const http::FieldList& fields) override;
  bool is_blocked() const override { return unsent_.size() > kUnsentHighBytes; }
  void set_body_sink(exchange::BodySink* sink) override { sink_ = sink; }
  void read_body() override;
  void read_body_later() override;
  void end_after_answer() override { is_keep_alive_ = false; }
  [[gnu::cold]] void abort_answer() override;
  [[gnu::cold]] bool close_websocket(uint16_t code, std::string_view reason) override;
  const tls::Handshake* tls_handshake() const override { return stream_.session(); }
  std::string_view server_address() override;
  uint16_t server_port() override;
  uint16_t http3_port() override { return http3_port_; }

  bool is_body_complete() const { return body_ == Body::kDone; }
  void start_tunnel(std::unique_ptr<upstream::Connection> upstream, std::string_view first_bytes) override;
  /// Tells an exchange whom it is with.
  void introduce(exchange::Exchange& exchange) const;
  std::string_view peer_address() const { return {peer_address_, peer_address_size_}; }
  /// HTTP/2 has said everything there is to say. `is_client_done`: the client sends no more.
  void end_http2(bool is_client_done);
  /// Ends idle connections and lets busy ones end with their answer.
  void drain();
  /// Ends whatever goes on, at once.
  void end();
  bool is_idle() const { return state_ == State::kIdle; }

  Connection* next = nullptr;  // in Context::connections
  Connection** link = nullptr;

 private:
  enum class State : uint8_t {
    kProxyHeader,  // PROXY protocol's header comes first
    kHandshake,    // TLS is being agreed on
    kIdle,         // between requests; nothing of the next has come
    kHead,         // part of a head is here
    kExchange,     // an exchange is under way
    kHttp2,        // http2_ has the socket
    kTunnel,       // bytes both ways
    kLingering,    // everything is said; reading until the client has heard it
    kClosed,
  };
  enum class Body : uint8_t { kDone, kLength, kChunked };
  enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };
  struct Tunnel;

  static void on_stream_ready(void* self);
  static void on_timeout(void* self);
  void start_tls(std::string_view received);
  void continue_handshake();
  static void on_later(void* self);
  void on_readable();
  void take_input();
  bool take_proxy_header();
  bool is_http1();
  void start_http2();
  bool take_head();
  void start_exchange(std::string_view head, size_t head_size);
  [[gnu::cold]] void refuse(uint16_t status, std::string_view reason);
  void begin_reading_body();
  void deliver_body();
  std::string_view take_available(base::ByteQueue* kept);
  void put_back(std::string_view rest, const base::ByteQueue& kept);
  void feed_length();
  void feed_chunked();
  void give_body(const iovec* pieces, int count, bool is_last);
  [[gnu::cold]] void fail_body(uint16_t status, std::string_view reason);
  bool wants_input() const;
  bool has_been_reset() const;
  void on_eof();

  std::string_view peek() const { return input_.is_empty() ? fresh_ : input_.view(); }
  void consume(size_t count);
  void stash();

  void choose_framing(exchange::Exchange& exchange, const iovec* pieces, int count, bool is_last);
  void write_out(const iovec* pieces, int count);
  bool try_write(const iovec* pieces, int count);
  bool push_unsent();
  void flush();
  void on_answer_written();
  void finish_exchange(exchange::Ending ending);
  void next_request();
  void linger_or_close();
  void linger();
  void close();
  void arm(std::chrono::milliseconds timeout);
  void arm_for_client();
  exchange::Exchange* take_exchange();

  static constexpr size_t kUnsentHighBytes = 256 * 1024;
  static constexpr size_t kUnsentLowBytes = 64 * 1024;

  Context& context_;
  tls::Stream stream_;
  net::Timer timer_;
  net::Deferred later_;  // reads at the end of the turn
  State state_ = State::kIdle;
  Body body_ = Body::kDone;
  Framing framing_ = Framing::kNone;
  bool is_processing_ = false;  // take_input() is on the stack
  bool is_keep_alive_ = true;
  bool is_answer_ended_ = false;  // the last byte is in unsent_ or gone
  bool has_continued_ = false;    // 100 Continue was sent
  bool is_eof_ = false;           // the client sends no more
  bool is_tls_ = false;
  tls::Protocols protocols_;  // one of them as soon as that is known
  uint16_t peer_port_ = 0;
  uint16_t server_port_ = 0;
  uint16_t http3_port_ = 0;
  uint32_t requests_ = 0;
  uint64_t number_;
  uint64_t body_left_ = 0;  // of a request body with a length
  uint64_t body_received_ = 0;
  uint64_t answer_left_ = 0;  // of an answer with a length
  size_t scan_from_ = 0;
  exchange::Exchange* exchange_ = nullptr;
  exchange::BodySink* sink_ = nullptr;
  base::ByteQueue input_;   // received, not dealt with
  std::string_view fresh_;  // the same, still in the read buffer; only inside on_readable
  base::ByteQueue unsent_;
  std::unique_ptr<http::ChunkedDecoder> decoder_;
  std::unique_ptr<Tunnel> tunnel_;
  std::unique_ptr<Http2Connection> http2_;
  router::Address peer_;    // zero for unix sockets
  char peer_address_[108];  // text; unix sockets give their path
  uint8_t peer_address_size_ = 0;
  std::string server_address_;
  std::string trailers_;  // of the answer, until its last piece
};

}  // namespace moongate::proxy
