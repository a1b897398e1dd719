// SPDX-License-Identifier: Apache-2.0
// A byte stream that may be encrypted: what client and upstream connections are made of. In clear it is the
// socket itself, at the price of one comparison.
#pragma once

#include <memory>
#include <string>

#include "net/stream.h"
#include "tls/session.h"

namespace moongate::tls {

/// One TCP or unix connection, in clear or in TLS.
///
/// Owner:   whoever embeds it; destroying it closes the socket.
/// Runs in: the loop it was opened on. While is_handshaking(), every on_ready is to be answered by
/// handshake() and by nothing else.
class Stream {
 public:
  using ReadyCallback = net::Stream::ReadyCallback;

  void adopt(net::EventLoop& loop, int fd, ReadyCallback on_ready, void* argument) {
    socket_.adopt(loop, fd, on_ready, argument);
  }
  base::Result<void> start_connect(net::EventLoop& loop, const net::SocketAddress& address,
                                   ReadyCallback on_ready, void* argument) {
    return socket_.start_connect(loop, address, on_ready, argument);
  }
  int finish_connect() { return socket_.finish_connect(); }
  void redirect(ReadyCallback on_ready, void* argument) { socket_.redirect(on_ready, argument); }

  /// See net::Stream.
  void call_again() { socket_.call_again(); }

  /// The stream is TLS from here on; nothing has been read or written yet.
  void start_tls(std::unique_ptr<Session> session) {
    session_ = std::move(session);
    is_handshaking_ = true;
  }
  bool is_handshaking() const { return is_handshaking_; }
  /// kOk when both sides agree; kBlocked; kError, also when the peer left.
  net::IoStatus handshake();
  /// What the last call failed of, with errno for a stream in clear.
  std::string describe_failure() const;
  /// Null for a stream in clear.
  const Session* session() const { return session_.get(); }

  net::IoResult read(char* buffer, size_t size) {
    return session_ ? session_->read(buffer, size) : socket_.read(buffer, size);
  }
  net::IoResult write(const iovec* pieces, int count) {
    return session_ ? write_encrypted(pieces, count) : socket_.write(pieces, count);
  }
  net::IoResult write(const char* data, size_t size) {
    return session_ ? session_->write(data, size) : socket_.write(data, size);
  }

  /// False when a read is known to find nothing.
  bool may_read() const { return socket_.may_read() || (session_ && session_->has_pending()); }
  bool may_write() const { return socket_.may_write(); }
  bool is_connecting() const { return socket_.is_connecting(); }
  bool is_open() const { return socket_.is_open(); }
  int fd() const { return socket_.fd(); }
  net::Stream& socket() { return socket_; }

  /// Says that nothing follows; reading goes on.
  void shutdown_write();
  void close();
  /// Ends with RST, for connections that must not be mistaken for complete.
  void abort();

 private:
  net::IoResult write_encrypted(const iovec* pieces, int count);

  net::Stream socket_;
  std::unique_ptr<Session> session_;
  bool is_handshaking_ = false;
};

}  // namespace moongate::tls
