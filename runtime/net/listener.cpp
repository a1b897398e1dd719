// SPDX-License-Identifier: Apache-2.0
#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"

namespace moongate::net {
namespace {

constexpr int kAcceptsPerTurn = 64;  // so that a flood of connections leaves time for those that are there
constexpr auto kPause = std::chrono::milliseconds(100);

void remove_stale_socket(const SocketAddress& address) {
  std::string path = reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return;
  if (::connect(probe, address.raw(), address.size) != 0 && errno == ECONNREFUSED) ::unlink(path.c_str());
  ::close(probe);
}

}  // namespace

base::Result<int> open_listening_socket(const SocketAddress& address, int backlog) {
  int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::io_error("cannot listen on " + address.text());
  int on = 1;
  if (address.family() == AF_UNIX) {
    remove_stale_socket(address);
  } else {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    if (address.family() == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(fd, address.raw(), address.size) != 0 || ::listen(fd, backlog) != 0) {
    base::Error error = base::io_error("cannot listen on " + address.text());
    ::close(fd);
    return error;
  }
  return fd;
}

void Listener::start(EventLoop& loop, int fd, Callback on_accept, void* argument) {
  loop_ = &loop;
  fd_ = fd;
  on_accept_ = on_accept;
  argument_ = argument;
  watch_.start(loop, fd, FdWatch::Interest::kRead, on_readable, this);
}

void Listener::stop() {
  pause_.stop();
  watch_.stop();
}

void Listener::on_readable(void* self, Readiness) {
  auto* listener = static_cast<Listener*>(self);
  for (int i = 0; i < kAcceptsPerTurn && listener->watch_.is_running(); i++) {
    SocketAddress peer;
    peer.size = sizeof peer.storage;
    int fd = ::accept4(listener->fd_, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size,
                       SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      listener->on_accept_(listener->argument_, fd, peer);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      MG_LOG(kError) << "accepting connections is paused for 100 ms: out of descriptors or memory; raise the "
                        "limit on open files";
      listener->watch_.stop();
      listener->pause_.start(listener->loop_->timers(), kPause);
    }
    return;  // EAGAIN, or a connection that ended before it was accepted
  }
}

void Listener::on_pause_over(void* self) {
  auto* listener = static_cast<Listener*>(self);
  listener->watch_.start(*listener->loop_, listener->fd_, FdWatch::Interest::kRead, on_readable, listener);
}

}  // namespace moongate::net
