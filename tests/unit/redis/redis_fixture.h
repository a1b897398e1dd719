// SPDX-License-Identifier: Apache-2.0
// A server that says what the test says, on the test's own thread: between its moves the loop turns.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "net/event_loop.h"
#include "redis/client.h"

namespace moongate::redis_fixture {

using std::chrono::milliseconds;

inline void turn(net::EventLoop& loop) {
  net::Deferred hurry([](void*) {}, nullptr);
  hurry.schedule(loop);
  loop.run_once();
}

/// Turns the loop until it holds, two seconds at most.
inline bool turn_until(net::EventLoop& loop, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    turn(loop);
  }
  return true;
}

/// Moves both clocks ahead for the rest of the test.
class MovedClock {
 public:
  MovedClock() = default;
  MovedClock(const MovedClock&) = delete;
  MovedClock& operator=(const MovedClock&) = delete;
  ~MovedClock() {
    base::Clock::set_offset({});
    base::Clock::refresh();
  }
  void advance(base::Duration by) {
    offset_ += by;
    base::Clock::set_offset(offset_);
  }

 private:
  base::Duration offset_{};
};

class FakeServer {
 public:
  explicit FakeServer(net::EventLoop& loop) : loop_(loop) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd_, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    place = {"127.0.0.1", ntohs(address.sin_port)};
  }
  ~FakeServer() {
    hang_up();
    stop_listening();
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  /// Takes the connection that is due.
  void accept() {
    hang_up();
    REQUIRE(turn_until(loop_, [this] {
      return (peer_ = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;
    }));
  }
  bool has_caller() {
    for (int i = 0; i < 5; i++) turn(loop_);
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }
  /// Waits until `text` is among what was received, and forgets everything up to its end.
  void expect(const std::string& text) {
    INFO("expects " << text << " after " << received);
    REQUIRE(turn_until(loop_, [&] {
      read();
      return received.find(text) != std::string::npos;
    }));
    received.erase(0, received.find(text) + text.size());
  }
  void say(const std::string& text) {
    REQUIRE(::send(peer_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
  /// A connection that is greeted and ready.
  void welcome() {
    accept();
    expect("PING\r\n");
    say("+PONG\r\n");
  }
  void hang_up() {
    if (peer_ >= 0) ::close(peer_);
    peer_ = -1;
  }
  void stop_listening() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void read() {
    char buffer[4096];
    ssize_t got = 0;
    while ((got = ::recv(peer_, buffer, sizeof buffer, 0)) > 0)
      received.append(buffer, static_cast<size_t>(got));
  }

  redis::Place place;
  std::string received;

 private:
  net::EventLoop& loop_;
  int fd_ = -1;
  int peer_ = -1;
};

inline std::string show(const base::Result<redis::Reply>& result) {
  if (!result) return "failed: " + result.error().detail;
  if (result->is_error()) return "error: " + result->text;
  return result->kind == redis::Reply::Kind::kInteger ? std::to_string(result->integer) : result->text;
}

}  // namespace moongate::redis_fixture
