// SPDX-License-Identifier: Apache-2.0
// Runs scripts on a Redis server, or on the server of a cluster that has the key. Follows a cluster's
// redirections, sends a script's text to a server that has only been sent its digest, and holds every run to
// its time limit.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "redis/command.h"
#include "redis/connection.h"

namespace moongate::redis {

struct ClientOptions {
  std::vector<Place> places;  // one server, or some of a cluster
  bool is_cluster = false;
  Access access;
};

class Client;

/// One run of a script. Ends by itself within its time limit.
class Run : public std::enable_shared_from_this<Run> {
 public:
  static constexpr int kHopsMax = 5;  // redirections and servers that turned out to be down, together

  struct Job {
    std::shared_ptr<const Script> script;
    ScriptInput input;
    base::Duration limit{};  // for everything, connecting included
  };

  Run(Client& client, Job job);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  bool is_over() const { return is_over_; }
  /// What came of it, once it is over. An error reply is a reply.
  const base::Result<Reply>& outcome() const { return outcome_; }
  /// Who is told when it is over; not called when it is over already. Nobody, with an empty function.
  void notify(std::function<void()> on_over) { on_over_ = std::move(on_over); }

 private:
  friend class Client;
  static void on_limit(void* self);
  void send();
  void take(base::Result<Reply> result);
  bool follow(const Redirection& redirection);
  void finish(base::Result<Reply> outcome);

  std::weak_ptr<Client> client_;
  std::weak_ptr<Connection> connection_;  // asked last, or to be asked
  Job job_;
  uint16_t slot_ = 0;
  int hops_ = 0;
  bool is_whole_ = false;   // the script's text is sent
  bool is_asking_ = false;  // the slot is on its way to the connection
  bool is_over_ = false;
  base::Result<Reply> outcome_;
  std::function<void()> on_over_;
  net::Timer timer_;
};

/// Shape:   a connection for each server that was needed, at most kServersMax.
/// Owner:   whoever uses it, by shared_ptr; a run whose client is gone fails.
/// Runs in: its loop; nothing blocks.
/// Fails:   a run fails at once when every server that could know is down.
class Client : public std::enable_shared_from_this<Client> {
 public:
  static constexpr size_t kServersMax = 1000;

  static std::shared_ptr<Client> make(net::EventLoop& loop, net::Resolver* resolver, ClientOptions options);
  Client(net::EventLoop& loop, net::Resolver* resolver, ClientOptions options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Begins a run. It may be over already: refused.
  std::shared_ptr<Run> start(Run::Job job);
  size_t server_count() const { return servers_.size(); }

 private:
  friend class Run;
  std::shared_ptr<Connection> choose(uint16_t slot);
  /// The connection to `place`, a new one if need be; null when there are too many.
  std::shared_ptr<Connection> find_or_add(const Place& place);
  void note_owner(uint16_t slot, const std::shared_ptr<Connection>& owner);
  void refresh_slots(const std::shared_ptr<Connection>& asked);
  void take_slots(const std::vector<SlotRange>& ranges);

  net::EventLoop& loop_;
  net::Resolver* resolver_;
  const ClientOptions options_;
  std::vector<std::shared_ptr<Connection>> servers_;
  std::vector<std::weak_ptr<Connection>> owners_;  // by slot, in a cluster
  size_t next_server_ = 0;
  base::SteadyTime refresh_after_{};
};

}  // namespace moongate::redis
