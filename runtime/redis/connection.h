// SPDX-License-Identifier: Apache-2.0
// The one connection of a worker to a Redis server. Whoever asks something is put in line; what is asked in
// one turn of the loop goes out in one write, and answers come back in the order of the questions. Clusters
// and scripts are client.h's business.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/byte_queue.h"
#include "net/resolver.h"
#include "redis/reply.h"
#include "redis/slots.h"
#include "tls/stream.h"

namespace moongate::redis {

/// How to get to a server, and as whom.
struct Access {
  std::string username;  // empty: the default user
  std::string password;  // empty: no AUTH
  int database = 0;
  std::shared_ptr<const tls::ClientContext> tls;  // null: in clear
  std::string tls_name;                           // the server's name for TLS; empty: its host
};

/// Connects when it is first asked something. A connection that ends is made anew by the next question; one
/// that could not be made, or did not hold, is tried again on its own while questions are refused at once.
///
///   idle --ask--> resolving -> connecting -> handshaking -> greeting (AUTH, SELECT, PING) -> ready
///     ^                |            |             |             |                             |
///     |                +------------+------+------+-------------+                             |
///     |                                    v                                                  |
///     |                                  down  --backoff--> resolving                         |
///     +------------------------- a connection that held ends ---------------------------------+
///
/// Shape:   at most kCallsMax questions in line and kUnsentMaxBytes of them not sent.
/// Owner:   a Client. Answers that are outstanding when it goes are never given.
/// Runs in: its loop. Answers are given from the loop, never from within `ask`.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  static constexpr size_t kCallsMax = 10000;
  static constexpr size_t kUnsentMaxBytes = 8u << 20;

  /// An answer, or why there is none: `is_retryable` when nothing of the question was sent.
  using Callback = std::function<void(base::Result<Reply>)>;
  struct Question {
    std::string bytes;  // whole commands
    int skipped = 0;    // answers that come before the one that is wanted
    Callback on_answer;
  };

  Connection(net::EventLoop& loop, net::Resolver* resolver, Place place, Access access);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Puts a question in line. `limit` bounds an attempt to connect that it may begin.
  /// Fails: kUnreachable when the server is down, kLimit when the line is full; nothing was sent then.
  base::Result<void> ask(Question question, base::Duration limit);
  /// Somebody waited for `limit` in vain. When nothing at all has come for half of that, the server hangs,
  /// and nobody else need wait for it.
  void note_overdue(base::Duration limit);

  bool is_down() const { return is_down_; }
  bool is_quiet() const { return calls_.empty(); }
  const Place& place() const { return place_; }

 private:
  enum class State : uint8_t { kIdle, kResolving, kConnecting, kHandshaking, kGreeting, kReady };
  struct Call {
    int skipped = 0;
    Callback on_answer;
  };

  static void on_stream_ready(void* self);
  static void on_attempt(void* self);
  static void on_flush(void* self);
  static void on_limit(void* self);
  static void on_retry(void* self);

  base::Duration attempt_limit() const;
  void begin_attempt();
  void resolve();
  void try_next_address();
  void step_connect();
  void step_handshake();
  void greet();
  void take_greeting(const Reply& reply);
  void become_ready();
  void write();
  void read();
  void take_replies();
  void deliver(Reply reply);
  void lose(base::ErrorKind kind, std::string reason);
  void fail_attempt(std::string reason) { lose(base::ErrorKind::kUnreachable, std::move(reason)); }
  void fail_calls(const base::Error& error);
  std::string describe_fault() const;
  base::Error make_error(base::ErrorKind kind, const std::string& reason) const;

  net::EventLoop& loop_;
  net::Resolver* resolver_;
  const Place place_;
  const Access access_;

  State state_ = State::kIdle;
  bool is_down_ = false;
  uint32_t failures_ = 0;  // in a row
  std::string reason_;     // of the last
  base::Duration limit_{};
  base::SteadyTime ready_since_{};
  base::SteadyTime heard_at_{};

  tls::Stream stream_;
  std::shared_ptr<const net::Resolver::Addresses> addresses_;
  base::Result<std::shared_ptr<const net::Resolver::Addresses>> lookup_;
  bool has_lookup_ = false;
  size_t first_address_ = 0;  // where an attempt begins
  size_t next_address_ = 0;   // counted from there
  int greetings_ = 0;         // answers that are due before it is ready; the last is PING's

  ReplyReader reader_;
  base::ByteQueue output_;
  base::ByteQueue backlog_;  // what was asked before it was ready
  std::deque<Call> calls_;

  net::Deferred attempt_;
  net::Deferred flush_;
  net::Timer attempt_timer_;
  net::Timer retry_timer_;
};

}  // namespace moongate::redis
