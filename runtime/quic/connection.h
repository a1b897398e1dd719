// SPDX-License-Identifier: Apache-2.0
// One QUIC connection (RFC 9000) and the HTTP/3 on it: packets come in, packets go out at the end of the
// turn, and requests go to a handler. The library knows loss, congestion and keys; this knows its clocks and
// its end.
#pragma once

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include <memory>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "net/udp.h"
#include "quic/http3_session.h"
#include "tls/quic_handshake.h"

namespace moongate::quic {

class Endpoint;

/// The present turn, as the library counts time.
inline ngtcp2_tstamp now() {
  return static_cast<ngtcp2_tstamp>(base::Clock::steady().time_since_epoch().count());
}

/// Whoever serves the requests of one connection.
class ConnectionHandler : public Http3Handler {
 public:
  virtual ~ConnectionHandler() = default;
  /// The handshake is done: requests may come.
  virtual void on_ready() = 0;
  /// Packets have been written; nothing is being written now.
  virtual void on_written() = 0;
  /// The connection is over: no stream of it may be used after this.
  virtual void on_over() = 0;
  /// The worker is about to end: no further requests, and the end when those that are have been answered.
  virtual void drain() = 0;
};

struct ConnectionOptions {
  Http3Session::Options http3;
  uint32_t streams_max = 128;
  uint32_t stream_window_bytes = 128 * 1024;
  uint32_t connection_window_bytes = 8 * 128 * 1024;
  base::Duration idle_timeout = std::chrono::seconds(75);
  base::Duration handshake_timeout = std::chrono::seconds(60);
  base::Duration head_timeout = std::chrono::seconds(60);
};

/// Shape:   a library's object, a handshake, and HTTP/3 once there are keys for it.
/// Owner:   the endpoint's list; frees itself at the end of a turn, through Endpoint::bury().
/// Runs in: one worker's loop.
/// Fails:   a broken rule closes the connection with its code; the peer is told for three round trips.
class Connection final : private Http3Transport {
 public:
  /// Who asks, and what it was told: `retry_id` when a Retry came before.
  struct Origin {
    const ngtcp2_pkt_hd& head;
    const ngtcp2_cid* first_id;  // that the client chose, where a Retry replaced it
    net::SocketAddress local, peer;
  };
  /// Null when the library refuses, or has no memory left.
  static Connection* accept(Endpoint& endpoint, const Origin& origin, const ConnectionOptions& options,
                            std::shared_ptr<const tls::ServerNames> names);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void set_handler(std::unique_ptr<ConnectionHandler> handler);
  void receive(const net::Datagram& datagram);
  ConnectionHandler* handler() { return handler_.get(); }
  Http3Session& http3() { return *http3_; }
  const tls::QuicHandshake& handshake() const { return *handshake_; }
  /// Where the client is: the last address of its that has been proven.
  net::SocketAddress peer_address() const;
  net::SocketAddress local_address() const;
  /// There is something to send: it goes out at the end of the turn.
  void flush_later();
  /// Tells the client that it is over, at once; `reason` is for its developers.
  void close(Http3Code code, std::string_view reason = {});
  bool is_ready() const { return http3_ != nullptr; }
  /// Asks after the client while nothing else is said, so that a long silence of a node is not its end.
  void keep_alive(bool is_wanted);
  /// What came was a piece of a first message without its beginning; nothing is left of the connection.
  bool is_retry_wanted() const { return is_retry_wanted_; }

  Connection* next = nullptr;  // in the endpoint's list
  Connection** place = nullptr;

 private:
  struct Callbacks;
  /// What was asked for while a packet was being written.
  struct Later {
    int64_t stream;
    uint64_t value;  // a code, or a size
    enum class Kind : uint8_t { kCut, kStopInput, kOpenBoth, kOpenOne } kind;
  };
  Connection(Endpoint& endpoint, const ConnectionOptions& options);
  bool begin(const Origin& origin, std::shared_ptr<const tls::ServerNames> names);
  bool start_http3();
  bool write_packets();
  bool write_next(uint8_t* out, size_t size, ngtcp2_path* path, ngtcp2_pkt_info* info, ngtcp2_ssize* written);
  void schedule();
  bool has_postponed(Later::Kind kind, int64_t stream, uint64_t value);
  bool do_later();
  [[gnu::cold]] bool fail_library(int code);
  [[gnu::cold]] bool fail_http3();
  [[gnu::cold]] void close_with(const ngtcp2_connection_close_error& error);
  void end();
  static void on_flush(void* self);
  static void on_expiry(void* self);
  static void on_slow_heads(void* self);
  static void on_closing_over(void* self);
  static ngtcp2_conn* find_library(ngtcp2_crypto_conn_ref* reference);

  void open_windows(int64_t stream, size_t size) override;
  void open_window(size_t size) override;
  void cut(int64_t stream, uint64_t code) override;
  void stop_input(int64_t stream, uint64_t code) override;

  Endpoint& endpoint_;
  ConnectionOptions options_;
  ngtcp2_conn* library_ = nullptr;
  ngtcp2_crypto_conn_ref reference_{};
  std::unique_ptr<tls::QuicHandshake> handshake_;
  std::unique_ptr<Http3Session> http3_;
  std::unique_ptr<ConnectionHandler> handler_;
  net::Deferred flush_;
  net::Timer expiry_;
  net::Timer heads_timer_;
  net::Timer closing_timer_;
  std::string farewell_;             // the packet that says the end, sent again to whoever goes on
  uint32_t unanswered_packets_ = 0;  // since it was sent
  ngtcp2_cid first_id_{};            // that the client chose
  net::SocketAddress peer_;          // that has shown that it gets what is sent to it
  net::SocketAddress former_peer_;   // likewise, before
  std::string source_;               // who has proven an address of this network; empty before
  std::vector<Later> later_;
  bool is_writing_ = false;  // the library has begun a packet: what is asked of it meanwhile waits in later_
  bool is_handshake_over_ = false;
  bool is_closed_ = false;
  bool is_retry_wanted_ = false;
};

}  // namespace moongate::quic
