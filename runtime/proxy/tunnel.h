// SPDX-License-Identifier: Apache-2.0
// What a connection becomes after 101 Switching Protocols: bytes both ways, each direction no faster than its
// reader, an end passed on as an end.
#pragma once

#include <functional>
#include <memory>

#include "base/byte_queue.h"
#include "base/clock.h"
#include "proxy/connection.h"
#include "proxy/websocket_guard.h"
#include "upstream/pool.h"

namespace moongate::proxy {

constexpr auto kTunnelIdleTimeout = std::chrono::hours(1);       // when neither side says anything
constexpr auto kTunnelStalledTimeout = std::chrono::minutes(1);  // and one has ended, or takes nothing

struct Connection::Tunnel {
 public:
  using OnEnd = std::function<void(uint64_t to_client_bytes, uint64_t to_upstream_bytes)>;
  Tunnel(Context& context, tls::Stream& client, std::unique_ptr<upstream::Connection> upstream, OnEnd on_end);

  /// The bytes are a WebSocket's, or to be held to limits; null: they are bytes.
  void guard(std::unique_ptr<WebSocketGuard> guard) { guard_ = std::move(guard); }
  /// What comes before the tunnel's own bytes.
  void queue_head(std::string_view bytes) { to_client_.waiting.append(bytes); }
  void queue_to_client(std::string_view bytes) { take(bytes, to_client_); }
  void queue_to_upstream(std::string_view bytes) { take(bytes, to_upstream_); }
  /// See exchange::ClientSide.
  bool close_websocket(uint16_t code, std::string_view reason);
  /// Moves what can be moved; calls on_end when both directions are over.
  void on_ready();

 private:
  struct Direction {
    base::ByteQueue waiting;                               // read and not yet written
    base::SteadyTime waits_since = base::Clock::steady();  // and nothing of it was taken
    uint64_t moved_bytes = 0;
    bool has_read_end = false;
    bool is_over = false;  // the end was passed on
  };
  static constexpr size_t kWaitingMaxBytes = 64 * 1024;
  static void on_upstream_ready(void* self) { static_cast<Tunnel*>(self)->on_ready(); }
  static void on_idle(void* self);
  static void on_answer_timeout(void* self);
  void start_idle_timer();
  /// Both directions. False when a connection broke; broken_ says which.
  bool move_both();
  bool move(tls::Stream& from, tls::Stream& to, Direction& direction);
  bool write(tls::Stream& to, Direction& direction);
  bool note_broken(const tls::Stream& stream) {
    broken_ = &stream;
    return false;
  }
  /// Goes on without an upstream that broke, for the client to be told why it is to leave. False when there
  /// is nothing to tell it.
  bool drop_upstream();
  void cut_upstream();
  void take(std::string_view bytes, Direction& direction);
  /// The side that is read has ended. True when that gave something to write.
  bool take_end(Direction& direction);
  /// Nothing more is to be passed on, though more may come.
  bool is_cut(const Direction& direction) const;
  bool is_closing() const { return guard_ && guard_->is_closing(); }
  void begin_closing();
  void finish();

  Context& context_;
  tls::Stream& client_;
  std::unique_ptr<upstream::Connection> upstream_;
  Direction to_client_;
  Direction to_upstream_;
  OnEnd on_end_;
  std::unique_ptr<WebSocketGuard> guard_;  // null: bytes are bytes
  net::Timer idle_timer_;
  net::Timer answer_timer_;  // while a client that is to leave gets what the upstream has for it
  const tls::Stream* broken_ = nullptr;
  bool has_begun_closing_ = false;
  bool is_finished_ = false;
};

}  // namespace moongate::proxy
