// SPDX-License-Identifier: Apache-2.0
// Listening sockets: made by the supervisor, accepted from by workers.
#pragma once

#include "net/address.h"
#include "net/event_loop.h"

namespace moongate::net {

/// Opens a listening socket; for TCP with SO_REUSEPORT, so that every worker can have its own. A stale unix
/// socket file nobody listens on is replaced. The error names the address.
base::Result<int> open_listening_socket(const SocketAddress& address, int backlog);

/// Accepts connections from a listening socket.
///
/// Runs in: one loop. `on_accept` gets a non-blocking socket it owns from then on, and the peer's address.
/// Fails:   out of descriptors: accepting pauses for 100 ms; the listening queue holds the connections.
class Listener {
 public:
  using Callback = void (*)(void* argument, int fd, const SocketAddress& peer);
  Listener() : pause_(on_pause_over, this) {}

  /// `fd` stays the caller's.
  void start(EventLoop& loop, int fd, Callback on_accept, void* argument);
  void stop();
  bool is_running() const { return watch_.is_running(); }

 private:
  static void on_readable(void* self, Readiness ready);
  static void on_pause_over(void* self);
  EventLoop* loop_ = nullptr;
  int fd_ = -1;
  FdWatch watch_;
  Timer pause_;
  Callback on_accept_ = nullptr;
  void* argument_ = nullptr;
};

}  // namespace moongate::net
