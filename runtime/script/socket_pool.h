// SPDX-License-Identifier: Apache-2.0
// Connections that Lua has put aside with setkeepalive, by the name of their pool. Upstreams' connections are
// pooled elsewhere (upstream/pool.h): a plugin must never get hold of one.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "tls/stream.h"

namespace moongate::script {

/// The idle connections of one Lua state.
///
/// Shape:   lists by name, most recently used first; a list has the size its first connection asked for.
/// Owner:   a userdata of the state, so that everything closes with it.
/// Fails:   never; what does not fit closes the connection that idled longest in its list.
class SocketPool {
 public:
  static constexpr size_t kIdleMax = 4096;  // in all lists together

  struct Connection {
    std::unique_ptr<tls::Stream> stream;
    uint32_t reused_times = 0;
    std::string tls_scope;  // who was verified, and how; empty in clear
  };

  explicit SocketPool(net::EventLoop& loop);
  ~SocketPool();
  SocketPool(const SocketPool&) = delete;
  SocketPool& operator=(const SocketPool&) = delete;

  /// Keeps a connection that must be silent (see is_silent). `idle_max` zero: for as long as the peer likes.
  void give(const std::string& name, Connection connection, base::Duration idle_max, size_t list_max);
  /// The connection used last of the list that is still alive; its stream is null when there is none.
  Connection take(const std::string& name);
  size_t count() const { return count_; }

  /// True when neither bytes nor an end of the connection wait to be read. What TLS says to itself is no
  /// byte.
  static bool is_silent(tls::Stream& stream);

 private:
  struct Idle;
  struct List {
    size_t count_max = 0;
    std::list<std::unique_ptr<Idle>> idle;
  };
  void drop(Idle* idle);
  static void on_ready(void* idle);
  static void on_idle_timeout(void* idle);

  net::EventLoop& loop_;
  std::unordered_map<std::string, List> lists_;
  size_t count_ = 0;
};

}  // namespace moongate::script
