// SPDX-License-Identifier: Apache-2.0
// A connection to a node that carries many requests at a time: HTTP/2, as `grpc` and `grpcs` upstreams speak
// it. The frames are http/http2_session.h's, one request is http2_try.h's, which link a request gets is the
// endpoint's choice (pool.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/byte_queue.h"
#include "http/http2_session.h"
#include "upstream/pool.h"

namespace moongate::upstream {

/// Who has or wants a stream of a link. After on_link_lost and leave() nothing is called.
class Http2LinkUser {
 public:
  /// The node speaks HTTP/2 and has room: a stream may be opened.
  virtual void on_link_ready() = 0;
  /// The link has no room for this one after all: it is to leave, and to go to another.
  virtual void on_link_full() = 0;
  virtual void on_link_lost(base::ErrorKind kind, const std::string& detail) = 0;
  /// What note_drained() asked for, when frames may be made again.
  virtual void on_link_drained() = 0;
  /// Its request has been handed over and no frame of it was made.
  virtual bool is_unsent() const = 0;

 protected:
  ~Http2LinkUser() = default;
};

/// One HTTP/2 connection to a node.
///
/// Shape:   kConnecting > kHandshaking > kGreeting > kOpen > kClosed. Users wait until the node's SETTINGS
///          have come: they say how many streams it takes, and that it speaks HTTP/2 at all, so that
///          nothing was sent to a node that does not.
/// Owner:   its endpoint and its users, jointly; closed when it has been idle, or when the endpoint ends.
/// Runs in: one worker's loop; never blocks.
/// Fails:   tells its users, each once.
class Http2Link final : public http::Http2Handler, public std::enable_shared_from_this<Http2Link> {
 public:
  Http2Link(Endpoint& endpoint, std::string_view server_name, const PoolLimits& limits);
  ~Http2Link();

  /// Begins to connect. A failure is told in a later turn.
  void start();
  /// Ends it. Users are told nothing.
  void close();
  /// No further stream; closed with the last.
  void retire();

  bool has_room() const;
  bool is_open() const { return state_ == State::kOpen; }
  bool is_idle() const { return users_.empty(); }
  /// The node has said that it ends the connection.
  bool is_leaving() const { return is_leaving_; }
  /// How often something has come from the node.
  uint64_t heard_count() const { return heard_count_; }
  const std::string& server_name() const { return server_name_; }
  void join(Http2LinkUser* user);
  void leave(Http2LinkUser* user);

  int32_t send_request(std::string_view head, bool has_body, http::StreamHandler* handler);
  /// Ends a stream; the node hears of it at the end of the turn.
  void reset(int32_t stream, http::Http2Code code);
  http::Http2Session& session() { return *session_; }
  /// There is something to send: it goes out at the end of the turn.
  void flush_later() { flush_.schedule(loop_); }
  void note_drained(Http2LinkUser* user) { drained_.push_back(user); }

  void on_stream(int32_t, const http::Http2FieldBlock&, bool) override {}  // none may be opened towards us
  void on_shutdown_heard() override {}
  void on_settings() override;
  void on_peer_leaving() override { is_leaving_ = is_retired_ = true; }

 private:
  enum class State : uint8_t { kConnecting, kHandshaking, kGreeting, kOpen, kClosed };
  static void on_stream_ready(void* self);
  static void on_flush(void* self);
  static void on_idle(void* self);
  static void on_stuck(void* self);
  bool step_connect();
  bool step_handshake();
  void greet();
  void admit();
  void read();
  void flush();
  bool push_unsent();
  bool send(std::string_view bytes);
  void move_unsent_users();
  void tell_drained();
  void end_if_over();
  void conclude();
  void lose(base::ErrorKind kind, const std::string& detail);

  Endpoint* endpoint_;  // null once closed
  net::EventLoop& loop_;
  const std::string server_name_;
  const PoolLimits limits_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<http::Http2Session> session_;
  State state_ = State::kConnecting;
  std::vector<Http2LinkUser*> users_;
  std::vector<Http2LinkUser*> drained_;
  base::ByteQueue unsent_;
  net::Deferred flush_;
  net::Timer idle_timer_;
  net::Timer stuck_timer_;  // the socket takes nothing
  std::string start_fault_;
  uint32_t requests_ = 0;
  uint64_t heard_count_ = 0;
  bool is_retired_ = false;
  bool is_leaving_ = false;
  bool has_settings_ = false;
};

}  // namespace moongate::upstream
