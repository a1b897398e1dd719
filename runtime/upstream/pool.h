// SPDX-License-Identifier: Apache-2.0
// Connections to upstream nodes, kept open between requests. One pool per worker; one Endpoint per address.
// Endpoints outlive snapshots: a reload that leaves a node where it was keeps its connections. An address
// that is spoken to in TLS has an endpoint for each ClientContext, and a connection is for one server name:
// what was verified for one, or shown to one, never serves another.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tls/stream.h"

namespace moongate::upstream {

class Endpoint;
class Http2Link;

struct PoolLimits {
  uint32_t idle_max = 320;  // connections kept idle per endpoint
  std::chrono::milliseconds idle_timeout{60000};
  uint32_t requests_max = 1000;  // per connection; then it is closed
  bool operator==(const PoolLimits&) const = default;
};

/// One connection to a node, in use by one attempt or idle in its endpoint's list.
class Connection {
 public:
  Connection(Endpoint& endpoint, std::string_view server_name);
  ~Connection() { stream.close(); }  // in TLS, with a goodbye
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Begins the handshake of a connection that stands. False without memory.
  [[nodiscard]] bool start_tls();
  tls::Stream stream;
  uint32_t requests = 0;  // how many it has carried

 private:
  friend class Endpoint;
  static void on_idle_ready(void* self);
  static void on_idle_timeout(void* self);
  Endpoint& endpoint_;
  const uint32_t generation_;      // of the endpoint when it was made
  const std::string server_name_;  // asked for with TLS; empty in clear
  net::Timer idle_timer_;
  Connection* newer_ = nullptr;
  Connection* older_ = nullptr;
};

/// The connections to one address, in clear or under one ClientContext.
///
/// Shape:   idle connections in a list, newest first: the freshest is reused, the oldest times out.
/// Owner:   the pool and the compiled upstreams that name the address.
/// Runs in: one loop.
class Endpoint {
 public:
  /// `context` is null for an address that is spoken to in clear.
  Endpoint(net::EventLoop& loop, net::SocketAddress address,
           std::shared_ptr<const tls::ClientContext> context = nullptr)
      : loop_(loop), address_(address), text_(address.text()), context_(std::move(context)) {}
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  /// The most recently used idle connection to `server_name` (any, in clear), or null.
  std::unique_ptr<Connection> try_checkout(std::string_view server_name = {});
  /// Takes a connection back, or closes it when it has carried its share, the list is full, or the address
  /// has been retired since it was made.
  void checkin(std::unique_ptr<Connection> connection, const PoolLimits& limits);
  /// A connection of HTTP/2 to `server_name` (any, in clear) with room for one more stream; begun when none
  /// has.
  std::shared_ptr<Http2Link> join_http2(std::string_view server_name, const PoolLimits& limits);
  /// How many streams the node allowed on one connection when it last said so.
  uint32_t http2_streams_max() const { return http2_streams_max_; }
  void note_http2_streams_max(uint32_t streams_max) { http2_streams_max_ = std::max(streams_max, 1U); }
  uint32_t idle_http2_count() const;
  void forget_http2(const Http2Link* link);
  /// Closes what is idle, and what is in use when it comes back: the address no longer belongs to the node.
  void retire();

  net::EventLoop& loop() { return loop_; }
  const net::SocketAddress& address() const { return address_; }
  const std::shared_ptr<const tls::ClientContext>& context() const { return context_; }
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
  std::shared_ptr<const tls::ClientContext> context_;
  std::shared_ptr<tls::SessionStore> sessions_ = std::make_shared<tls::SessionStore>();
  Connection* newest_ = nullptr;
  Connection* oldest_ = nullptr;
  uint32_t idle_count_ = 0;
  uint32_t generation_ = 0;  // how often it was retired
  std::vector<std::shared_ptr<Http2Link>> links_;
  uint32_t http2_streams_max_ = UINT32_MAX;
};

class Pool {
 public:
  explicit Pool(net::EventLoop& loop) : loop_(loop) {}
  /// The endpoint of an address (under a context, for TLS); made when it is new, forgotten when nobody holds
  /// it.
  std::shared_ptr<Endpoint> get(const net::SocketAddress& address,
                                const std::shared_ptr<const tls::ClientContext>& context = nullptr);
  net::EventLoop& loop() { return loop_; }

 private:
  net::EventLoop& loop_;
  std::unordered_map<std::string, std::weak_ptr<Endpoint>> endpoints_;
};

}  // namespace moongate::upstream
