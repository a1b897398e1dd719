// SPDX-License-Identifier: Apache-2.0
// A datagram socket that Lua drives, with one peer. Waits like a TCP one (socket_wait.h).
#pragma once

#include <string>
#include <string_view>

#include "net/event_loop.h"
#include "script/socket_wait.h"

namespace moongate::script {

constexpr size_t kDatagramMaxBytes = 65536;

/// Datagrams to and from one peer.
///
/// Fails:   "timeout" and a refusal by the peer ("connection refused") leave the socket open.
class UdpSocket final : public WaitingSocket {
 public:
  explicit UdpSocket(Host& host) : WaitingSocket(host), lookup_(on_addresses, this) {}
  ~UdpSocket() override { close(); }

  void start_set_peer(const std::string& name, uint16_t port);
  /// Empty, or why the datagram did not leave. Never waits: a datagram that finds no room is lost, as on the
  /// wire.
  std::string send(std::string_view data);
  /// Waits for a datagram; more than `size_max` bytes of it are dropped.
  void start_receive(size_t size_max);
  std::string_view received() const { return received_; }
  void drop_received() { received_.clear(); }
  bool is_open() const { return fd_ >= 0; }
  void close();

 private:
  static void on_addresses(void* self, SocketLookup::Answer answer);
  static void on_readable(void* self, net::Readiness ready);
  void take_addresses(SocketLookup::Answer answer);
  void step_receive();
  void on_deadline() override;
  void on_abandoned() override { close(); }

  int fd_ = -1;
  net::FdWatch watch_;  // runs only while a task waits: datagrams nobody waits for stay in the kernel
  SocketLookup lookup_;
  size_t size_max_ = 0;
  std::string received_;
};

}  // namespace moongate::script
