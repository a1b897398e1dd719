// SPDX-License-Identifier: Apache-2.0
// A connected, non-blocking socket on the data path. Reads and writes go straight to the kernel; what
// could not be sent is the caller's to keep. Knows from the edges it saw whether a read can find anything,
// so that a request costs no read that answers EAGAIN.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "net/address.h"
#include "net/event_loop.h"

namespace moongate::net {

enum class IoStatus : uint8_t {
  kOk,       // some bytes moved
  kBlocked,  // nothing now; an edge will tell
  kEof,      // the peer sends no more (reads)
  kError,    // the connection is dead; errno says why
};

struct IoResult {
  IoStatus status;
  size_t size;  // bytes moved
};

/// One TCP or unix connection.
///
/// Owner:   whoever embeds it; destroying it closes the socket.
/// Runs in: the loop it was opened on. `on_ready` is called on every edge; it may close or destroy the
/// stream.
class Stream {
 public:
  using ReadyCallback = void (*)(void* argument);
  Stream() = default;
  ~Stream() { close(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Takes over a connected non-blocking socket.
  void adopt(EventLoop& loop, int fd, ReadyCallback on_ready, void* argument);
  /// Begins to connect; on_ready comes when it is known whether it worked (see finish_connect).
  base::Result<void> start_connect(EventLoop& loop, const SocketAddress& address, ReadyCallback on_ready,
                                   void* argument);
  /// 0 when the connection stands, else errno. Call once after start_connect, when on_ready came.
  int finish_connect();
  /// Hands the edges to somebody else: pooled connections change owners.
  void redirect(ReadyCallback on_ready, void* argument) {
    on_ready_ = on_ready;
    argument_ = argument;
  }
  /// Calls on_ready once more at the end of the turn or in the next one: for whoever stops reading while
  /// may_read() is true, so that a fast peer leaves time to the others.
  void call_again() { again_.schedule(*loop_); }

  IoResult read(char* buffer, size_t size);
  IoResult write(const iovec* pieces, int count);
  IoResult write(const char* data, size_t size);

  /// False when a read is known to find nothing.
  bool may_read() const { return may_read_; }
  bool may_write() const { return may_write_; }
  bool is_connecting() const { return is_connecting_; }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  /// The loop it was opened on.
  EventLoop& loop() const { return *loop_; }
  /// Sends FIN; reading goes on.
  void shutdown_write();
  void close();
  /// Ends with RST, for connections that must not be mistaken for complete.
  [[gnu::cold]] void abort();

 private:
  static void on_event(void* self, Readiness ready);
  static void on_again(void* self);
  IoResult end_write(ssize_t sent);  // of what send() answered
  EventLoop* loop_ = nullptr;
  FdWatch watch_;
  int fd_ = -1;
  bool may_read_ = false;
  bool may_write_ = false;
  bool is_closing_ = false;  // FIN seen by the kernel: read on until it is reached
  bool is_connecting_ = false;
  ReadyCallback on_ready_ = nullptr;
  void* argument_ = nullptr;
  Deferred again_{on_again, this};
};

}  // namespace moongate::net
