// SPDX-License-Identifier: Apache-2.0
// Connections to upstream nodes, kept open between requests. One pool per worker; one Endpoint per address.
// Endpoints outlive snapshots: a reload that leaves a node where it was keeps its connections.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "tls/stream.h"

namespace moongate::upstream {

class Endpoint;

struct PoolLimits {
  uint32_t idle_max = 320;  // connections kept idle per endpoint
  std::chrono::milliseconds idle_timeout{60000};
  uint32_t requests_max = 1000;  // per connection; then it is closed
  bool operator==(const PoolLimits&) const = default;
};

/// One connection to a node, in use by one attempt or idle in its endpoint's list.
class Connection {
 public:
  explicit Connection(Endpoint& endpoint);
  tls::Stream stream;
  uint32_t requests = 0;  // how many it has carried

 private:
  friend class Endpoint;
  static void on_idle_ready(void* self);
  static void on_idle_timeout(void* self);
  Endpoint& endpoint_;
  const uint32_t generation_;  // of the endpoint when it was made
  net::Timer idle_timer_;
  Connection* newer_ = nullptr;
  Connection* older_ = nullptr;
};

/// The connections to one address.
///
/// Shape:   idle connections in a list, newest first: the freshest is reused, the oldest times out.
/// Owner:   the pool and the compiled upstreams that name the address.
/// Runs in: one loop.
class Endpoint {
 public:
  Endpoint(net::EventLoop& loop, net::SocketAddress address)
      : loop_(loop), address_(address), text_(address.text()) {}
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  /// The most recently used idle connection, or null.
  std::unique_ptr<Connection> try_checkout();
  /// Takes a connection back, or closes it when it has carried its share, the list is full, or the address
  /// has been retired since it was made.
  void checkin(std::unique_ptr<Connection> connection, const PoolLimits& limits);
  /// Closes what is idle, and what is in use when it comes back: the address no longer belongs to the node.
  void retire();

  net::EventLoop& loop() { return loop_; }
  const net::SocketAddress& address() const { return address_; }
  /// "127.0.0.1:8080"
  const std::string& text() const { return text_; }
  uint32_t idle_count() const { return idle_count_; }

 private:
  friend class Connection;
  void unlink(Connection* connection);
  void close_idle();
  net::EventLoop& loop_;
  net::SocketAddress address_;
  std::string text_;
  Connection* newest_ = nullptr;
  Connection* oldest_ = nullptr;
  uint32_t idle_count_ = 0;
  uint32_t generation_ = 0;  // how often it was retired
};

class Pool {
 public:
  explicit Pool(net::EventLoop& loop) : loop_(loop) {}
  /// The endpoint of an address; made when it is new, forgotten when nobody holds it.
  std::shared_ptr<Endpoint> get(const net::SocketAddress& address);
  net::EventLoop& loop() { return loop_; }

 private:
  net::EventLoop& loop_;
  std::unordered_map<std::string, std::weak_ptr<Endpoint>> endpoints_;
};

}  // namespace moongate::upstream
