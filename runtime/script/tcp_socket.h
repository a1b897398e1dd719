// SPDX-License-Identifier: Apache-2.0
// One TCP or unix connection that Lua drives: connect, send, receive in the ways LuaSocket knows. Bindings
// are in api_socket.cpp, waiting in socket_wait.h, idle connections in socket_pool.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/byte_queue.h"
#include "script/socket_pool.h"
#include "script/socket_wait.h"
#include "tls/stream.h"

namespace moongate::script {

constexpr size_t kSocketLineMaxBytes = 1u << 20;   // receive("*l")
constexpr size_t kSocketReadMaxBytes = 64u << 20;  // receive("*a"), receive(size), receiveuntil
constexpr size_t kSocketSendMaxBytes = 64u << 20;  // one send
constexpr size_t kSocketPatternMaxBytes = 4096;    // of receiveuntil

/// What a receive waits for.
struct Reading {
  enum class Kind : uint8_t { kSize, kLine, kAll, kAny, kUntil };
  Kind kind = Kind::kLine;
  size_t size = 0;            // kSize: this many; kAny, kUntil: at most this many, 0 in kUntil: no limit
  std::string pattern;        // kUntil
  bool is_inclusive = false;  // kUntil: the pattern is part of the data
};

/// Where to connect to and which pool the connection is of.
struct ConnectTarget {
  std::string host;  // a name, an address or "unix:PATH"
  uint16_t port = 0;
  std::string pool_name;
  size_t pool_size = 30;
};

/// A connection of a script.
///
/// Shape:   what was received and not asked for yet stays in `input`, at most one read (64 KB) more than
/// asked for. Fails:   "timeout" leaves the connection open after a receive and closes it otherwise; every
/// other failure closes it.
class TcpSocket final : public WaitingSocket {
 public:
  explicit TcpSocket(Host& host, SocketPool& pool);

  // Each begins an operation; see WaitingSocket::finish_or_wait.
  void start_connect(ConnectTarget target);
  /// Goes on in TLS. A connection from a pool that speaks it already must have been made for the same server.
  void start_handshake(std::shared_ptr<const tls::ClientContext> context, std::string server_name);
  void start_send(std::string_view data);
  void start_receive(Reading reading);

  bool is_open() const { return stream_ && stream_->is_open(); }
  void close();
  uint32_t reused_times() const { return reused_times_; }
  /// Gives the connection to its pool; empty, or why it was closed instead.
  std::string keep_alive(base::Duration idle_max, size_t pool_size);
  size_t pool_size() const { return target_.pool_size; }

  size_t sent_bytes() const { return sent_bytes_; }
  /// What the last receive brought, or the part of it that came before a failure; `drop_received` when Lua
  /// has it.
  std::string_view received() const { return input_.view().substr(0, received_size_); }
  void drop_received();
  bool is_line() const { return reading_.kind == Reading::Kind::kLine; }
  /// The last receiveuntil ended at the pattern.
  bool is_pattern_reached() const { return is_pattern_reached_; }

 private:
  enum class Operation : uint8_t { kNone, kConnect, kHandshake, kSend, kReceive };
  static void on_stream_ready(void* self);
  static void on_addresses(void* self, SocketLookup::Answer answer);
  void take_addresses(SocketLookup::Answer answer);
  void try_next_address();
  void step_connect();
  void step_handshake();
  void step_send();
  std::string describe_fault() const;
  void step_receive();
  bool find_wanted();
  bool find_line(std::string_view input);
  bool find_pattern(std::string_view input);
  size_t input_max() const;
  void end_with(size_t data_size, size_t skipped_size);
  void fail_and_close(std::string reason);
  void fail_reading(std::string reason);
  void on_deadline() override;
  void on_abandoned() override { close(); }

  SocketPool& pool_;
  std::unique_ptr<tls::Stream> stream_;
  std::string tls_scope_;
  Operation operation_ = Operation::kNone;
  uint32_t reused_times_ = 0;

  ConnectTarget target_;
  SocketLookup lookup_;
  std::shared_ptr<const SocketLookup::Addresses> addresses_;
  size_t next_address_ = 0;

  base::ByteQueue output_;
  size_t sent_bytes_ = 0;

  Reading reading_;
  base::ByteQueue input_;
  size_t scanned_size_ = 0;   // of input, known not to hold the end of what is wanted
  size_t received_size_ = 0;  // of input, the outcome
  size_t skipped_size_ = 0;   // after it: a line's end, a pattern
  bool is_pattern_reached_ = false;
};

}  // namespace moongate::script
