// SPDX-License-Identifier: Apache-2.0
#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace moongate::net {

void Stream::adopt(EventLoop& loop, int fd, ReadyCallback on_ready, void* argument) {
  MG_ASSERT(fd_ < 0);
  loop_ = &loop;
  fd_ = fd;
  may_read_ = true;
  may_write_ = true;
  is_closing_ = false;
  is_connecting_ = false;
  on_ready_ = on_ready;
  argument_ = argument;
  watch_.start(loop, fd, FdWatch::Interest::kEdge, on_event, this);
}

base::Result<void> Stream::start_connect(EventLoop& loop, const SocketAddress& address,
                                         ReadyCallback on_ready, void* argument) {
  int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::io_error("socket");
  if (address.family() != AF_UNIX) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(fd, address.raw(), address.size) != 0 && errno != EINPROGRESS) {
    base::Error error = base::io_error("connect to " + address.text());
    error.kind = base::ErrorKind::kUnreachable;
    error.side = base::Side::kUpstream;
    error.is_retryable = true;
    ::close(fd);
    return error;
  }
  adopt(loop, fd, on_ready, argument);
  may_read_ = false;
  may_write_ = false;
  is_connecting_ = true;
  return {};
}

int Stream::finish_connect() {
  int fault = 0;
  socklen_t size = sizeof fault;
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &fault, &size) != 0) fault = errno;
  is_connecting_ = false;
  may_write_ = fault == 0;
  return fault;
}

void Stream::on_event(void* self, Readiness ready) {
  auto* stream = static_cast<Stream*>(self);
  if (ready.is_readable || ready.is_closing) stream->may_read_ = true;
  if (ready.is_closing) stream->is_closing_ = true;
  if (ready.is_writable) stream->may_write_ = true;
  stream->on_ready_(stream->argument_);
}

void Stream::on_again(void* self) {
  auto* stream = static_cast<Stream*>(self);
  stream->on_ready_(stream->argument_);
}

IoResult Stream::read(char* buffer, size_t size) {
  ssize_t got;
  do {
    got = ::recv(fd_, buffer, size, 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    // A short read emptied the socket: the next byte brings an edge. Not so when a FIN already came.
    may_read_ = static_cast<size_t>(got) == size || is_closing_;
    return {IoStatus::kOk, static_cast<size_t>(got)};
  }
  if (got == 0) return {IoStatus::kEof, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    may_read_ = false;
    return {IoStatus::kBlocked, 0};
  }
  return {IoStatus::kError, 0};
}

IoResult Stream::write(const iovec* pieces, int count) {
  if (count == 1) return write(static_cast<const char*>(pieces->iov_base), pieces->iov_len);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t sent;
  do {
    sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return end_write(sent);
}

IoResult Stream::write(const char* data, size_t size) {
  ssize_t sent;
  do {
    sent = ::send(fd_, data, size, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return end_write(sent);
}

IoResult Stream::end_write(ssize_t sent) {
  if (sent >= 0) return {IoStatus::kOk, static_cast<size_t>(sent)};
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    may_write_ = false;
    return {IoStatus::kBlocked, 0};
  }
  return {IoStatus::kError, 0};
}

void Stream::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

void Stream::close() {
  if (fd_ < 0) return;
  watch_.stop();
  again_.cancel();
  ::close(fd_);
  fd_ = -1;
}

void Stream::abort() {
  if (fd_ < 0) return;
  linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

}  // namespace moongate::net
