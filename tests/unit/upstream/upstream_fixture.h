// SPDX-License-Identifier: Apache-2.0
// A loop, and a node on loopback that says what the test says.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/listener.h"
#include "upstream/attempt.h"

namespace moongate::upstream_fixture {

/// A listening socket, and the last connection that came.
class NodeServer {
 public:
  explicit NodeServer(const net::SocketAddress& at = *net::make_ip_address("127.0.0.1", 0)) {
    fd_ = net::open_listening_socket(at, 64).take();
    address.size = sizeof address.storage;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address.storage), &address.size) == 0);
  }
  ~NodeServer() {
    close();
    for (int fd : former_) ::close(fd);
    ::close(fd_);
  }
  NodeServer(const NodeServer&) = delete;
  NodeServer& operator=(const NodeServer&) = delete;

  void turn() {
    int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      if (connection_ >= 0) former_.push_back(connection_);
      connection_ = fd;
      accepted++;
    }
    char buffer[65536];
    ssize_t got = 0;
    while (is_reading && connection_ >= 0 &&
           (got = ::recv(connection_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
      received.append(buffer, static_cast<size_t>(got));
  }
  /// What the kernel takes at once.
  void send(const std::string& bytes) const {
    static_cast<void>(::send(connection_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  }
  void close() {
    if (connection_ >= 0) ::close(connection_);
    connection_ = -1;
  }
  /// Ends the connection with RST.
  void reset() {
    linger now{1, 0};
    ::setsockopt(connection_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  bool has_connection() const { return connection_ >= 0; }

  net::SocketAddress address;
  std::string received;
  bool is_reading = true;
  int accepted = 0;

 private:
  int fd_ = -1;
  int connection_ = -1;
  std::vector<int> former_;  // open and silent
};

/// Writes down what it is told, one word each, and does what the test wants at that moment.
struct Recorder final : upstream::AttemptHandler {
  explicit Recorder(base::Arena& memory) : response(&memory) {}
  void on_attempt_ready() override {
    note("ready");
    if (on_ready) on_ready();
  }
  void on_interim_response() override { note("interim" + std::to_string(response.status)); }
  void on_response_head(const iovec* pieces, int count, bool is_last) override {
    note("head" + std::to_string(response.status));
    on_response_body(pieces, count, is_last);
  }
  void on_response_body(const iovec* pieces, int count, bool is_last) override {
    for (int i = 0; i < count; i++)
      body.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    if (is_last) note("last");
    if (on_body) on_body();
  }
  void on_upgraded(std::string_view first_bytes) override { note("upgraded:" + std::string(first_bytes)); }
  void on_attempt_drained() override { note("drained"); }
  void on_attempt_failed(const base::Error& error, upstream::AttemptStage at) override {
    note("failed");
    detail = error.detail;
    kind = error.kind;
    stage = at;
  }
  void note(const std::string& word) { words += (words.empty() ? "" : " ") + word; }
  bool is_over() const { return words.ends_with("last") || words.ends_with("failed"); }

  http::ResponseHead response;
  std::string words, body, detail;
  base::ErrorKind kind = base::ErrorKind::kInvalid;
  upstream::AttemptStage stage = upstream::AttemptStage::kConnecting;
  std::function<void()> on_ready, on_body;
};

/// Turns a loop that never waits long.
class Turning {
 public:
  ~Turning() {
    base::Clock::set_offset({});
    base::Clock::refresh();
  }
  bool turn_until(NodeServer& node, const std::function<bool()>& is_done) {
    if (!pulse_.is_running()) on_pulse(this);
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
      node.turn();
      if (is_done()) return true;
      if (std::chrono::steady_clock::now() > limit) return false;
      loop->run_once();
    }
  }
  void settle(NodeServer& node) {
    for (int i = 0; i < 8; i++)
      static_cast<void>(
          turn_until(node, [&, first = true]() mutable { return !std::exchange(first, false); }));
  }
  void advance(base::Duration by) { base::Clock::set_offset(base::Clock::offset() + by); }

  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();

 private:
  static void on_pulse(void* self) {
    auto* turning = static_cast<Turning*>(self);
    turning->pulse_.start(turning->loop->timers(), std::chrono::milliseconds(1));
  }
  net::Timer pulse_{on_pulse, this};
};

}  // namespace moongate::upstream_fixture
