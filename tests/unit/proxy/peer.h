// SPDX-License-Identifier: Apache-2.0
// The other ends of connections in tests of the data path, and in fuzzers: they say what the test says and
// keep what they hear.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/listener.h"

namespace moongate::proxy_fixture {

/// Reads what is there into `bytes`; false once the other side has ended.
inline bool drain(int fd, std::string* bytes) {
  char buffer[65536];
  for (;;) {
    ssize_t got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      bytes->append(buffer, static_cast<size_t>(got));
    } else {
      return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
  }
}

/// The test's end of a connection.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { close(); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Bytes the kernel does not take at once go out in later turns.
  void send(std::string_view bytes) {
    unsent_.append(bytes);
    turn();
  }
  void turn() {
    if (fd_ < 0) return;
    while (!unsent_.empty()) {
      ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent <= 0) break;
      unsent_.erase(0, static_cast<size_t>(sent));
    }
    if (is_reading && !is_ended) is_ended = !drain(fd_, &received);
  }
  /// Sends FIN; what comes back is still read.
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }
  /// The gateway's next write fails, its reads go on.
  void refuse_bytes() { ::shutdown(fd_, SHUT_RD); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd() const { return fd_; }

  std::string received;
  bool is_ended = false;   // the gateway sent its end, or reset
  bool is_reading = true;  // false: a slow reader

 private:
  int fd_;
  std::string unsent_;
};

/// A server, on 127.0.0.1 unless the test says otherwise, whose connections the test holds.
class Origin {
 public:
  explicit Origin(const net::SocketAddress& address = *net::make_ip_address("127.0.0.1", 0)) {
    fd_ = net::open_listening_socket(address, 64).take();
    net::SocketAddress bound;
    bound.size = sizeof bound.storage;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
    port = bound.port();
  }
  ~Origin() { ::close(fd_); }
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  void turn() {
    for (;;) {
      int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) break;
      connections.push_back(std::make_unique<Peer>(fd));
    }
    for (auto& connection : connections) connection->turn();
  }
  /// `"127.0.0.1:PORT": 1`
  std::string node() const { return "\"127.0.0.1:" + std::to_string(port) + "\": 1"; }

  uint16_t port = 0;
  std::vector<std::unique_ptr<Peer>> connections;

 private:
  int fd_ = -1;
};

}  // namespace moongate::proxy_fixture
