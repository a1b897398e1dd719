// SPDX-License-Identifier: Apache-2.0
// One connection to control: somebody who asks, gets an answer, and is watched by a clock. Not for the data
// path: plain level-triggered reads into a bounded buffer.
#pragma once

#include <functional>
#include <string>

#include "base/byte_queue.h"
#include "net/event_loop.h"
#include "snapshot/descriptor.h"

namespace moongate::control {

/// Reads until its owner has a whole request, writes the answer, and ends.
///
/// Owner:   a server that keeps it by number; `on_over` is its last call and may destroy it.
/// Fails:   more input than allowed, a deadline, or a peer that leaves: on_over.
class ClientSocket {
 public:
  struct Callbacks {
    /// More has come: look at input(). May call send(), close() or wait; must not destroy the socket.
    std::function<void(ClientSocket&)> on_input;
    std::function<void(ClientSocket&)> on_over;
  };
  struct Limits {
    size_t input_max_bytes;
    base::Duration deadline;  // for one request and its answer, waiting for the owner excepted
  };
  ClientSocket(net::EventLoop& loop, int fd, uint64_t id, Limits limits, Callbacks callbacks);

  uint64_t id() const { return id_; }
  const std::string& input() const { return input_; }
  void consume(size_t count) { input_.erase(0, count); }
  /// The clock stands still until send(): the owner works on the request.
  void wait_for_owner();
  void send(std::string_view bytes, bool is_last);
  /// Nothing more is read for the owner: the last answer was given, or the connection is over.
  bool is_ending() const { return is_last_ || !socket_.is_open(); }

 private:
  static void on_readable(void* self, net::Readiness ready);
  static void on_writable(void* self, net::Readiness ready);
  static void on_deadline(void* self);
  void read();
  void flush();
  void end();

  net::EventLoop& loop_;
  snapshot::Descriptor socket_;
  uint64_t id_;
  Limits limits_;
  Callbacks callbacks_;
  std::string input_;
  base::ByteQueue output_;
  net::FdWatch read_watch_;
  net::FdWatch write_watch_;
  net::Timer deadline_;
  net::Deferred over_;  // on_over may destroy us, so never from within a call of the owner's
  bool is_last_ = false;
};

}  // namespace moongate::control
