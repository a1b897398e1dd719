// SPDX-License-Identifier: Apache-2.0
#include "script/udp_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "script/host.h"

namespace moongate::script {
namespace {

char scratch[kDatagramMaxBytes];

// A unix peer can only answer a socket that has a name: the kernel chooses one.
bool bind_to_free_name(int fd) {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed.sun_family) == 0;
}

}  // namespace

void UdpSocket::close() {
  watch_.stop();
  lookup_.stop();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  received_.clear();
}

void UdpSocket::start_set_peer(const std::string& name, uint16_t port) {
  close();
  begin_operation();
  SocketLookup::Answer answer = lookup_.start(host_, name, port);
  if (answer.is_known()) take_addresses(std::move(answer));
}

void UdpSocket::on_addresses(void* self, SocketLookup::Answer answer) {
  auto* socket = static_cast<UdpSocket*>(self);
  socket->take_addresses(std::move(answer));
  socket->wake_if_done();
}

void UdpSocket::take_addresses(SocketLookup::Answer answer) {
  if (!answer.addresses) return fail(std::move(answer.failure));
  int fault = 0;
  for (const net::SocketAddress& address : *answer.addresses) {
    fd_ = ::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_named = fd_ >= 0 && (address.family() != AF_UNIX || bind_to_free_name(fd_));
    if (is_named && ::connect(fd_, address.raw(), address.size) == 0) return succeed();
    fault = errno;
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  fail(describe_errno(fault));
}

std::string UdpSocket::send(std::string_view data) {
  if (!is_open()) return "closed";
  ssize_t sent;
  do {
    sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0 ? std::string() : describe_errno(errno);
}

void UdpSocket::start_receive(size_t size_max) {
  begin_operation();
  size_max_ = std::min(size_max, kDatagramMaxBytes);
  if (!is_open()) return fail("closed");
  step_receive();
  if (!is_done()) watch_.start(host_.loop(), fd_, net::FdWatch::Interest::kRead, on_readable, this);
}

void UdpSocket::on_readable(void* self, net::Readiness) {
  auto* socket = static_cast<UdpSocket*>(self);
  socket->step_receive();
  if (socket->is_done()) socket->watch_.stop();
  socket->wake_if_done();
}

void UdpSocket::step_receive() {
  ssize_t got;
  do {
    got = ::recv(fd_, scratch, size_max_, 0);
  } while (got < 0 && errno == EINTR);
  if (got >= 0) {
    received_.assign(scratch, static_cast<size_t>(got));
    succeed();
  } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
    fail(describe_errno(errno));
  }
}

void UdpSocket::on_deadline() {
  watch_.stop();
  if (!is_open()) lookup_.stop();
  fail("timeout");
}

}  // namespace moongate::script
