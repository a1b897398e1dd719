// SPDX-License-Identifier: Apache-2.0
// One connection to `moongate echo`: reads requests, one after another, and writes what echo_answer.h makes
// of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/arena.h"
#include "cli/echo_answer.h"
#include "http/chunked.h"
#include "http/head.h"
#include "net/event_loop.h"
#include "net/stream.h"
#include "net/timer.h"

namespace moongate::cli {

/// Serves one client.
///
/// Owner:   the server in echo.cpp; `on_end` tells it to destroy the connection, from the end of the turn.
/// Runs in: one loop.
/// Fails:   what is no request, or more than 32 KB of head or 1 MB of body, is answered with its status and
/// the end.
class EchoConnection {
 public:
  EchoConnection(net::EventLoop& loop, int fd, const EchoIdentity& identity,
                 std::function<void(EchoConnection&)> on_end);

 private:
  enum class State : uint8_t { kHead, kBody, kDelay, kAnswer, kDrain, kEnded };

  static void on_ready(void* self);
  static void on_delay_over(void* self);
  static void on_idle(void* self);
  static void on_deferred_end(void* self);

  void run();
  bool receive();
  bool take_head();
  bool take_body();
  bool take_chunks();
  void refuse(uint16_t status, std::string_view reason);
  void answer(EchoAnswer answer);
  bool send();
  bool drain();
  void refill();
  void begin_next();
  void end();

  net::EventLoop& loop_;
  const EchoIdentity& identity_;
  std::function<void(EchoConnection&)> on_end_;
  net::Stream stream_;
  net::Timer delay_;
  net::Timer idle_;
  net::Deferred deferred_end_;
  State state_ = State::kHead;
  std::string input_;   // received, not yet used
  size_t scanned_ = 0;  // of input_, by scan_head
  base::Arena arena_;
  std::string head_bytes_;  // of the request under way; `head_` points into it
  http::RequestHead head_;
  std::string body_;
  http::ChunkedDecoder decoder_;
  EchoAnswer answer_;
  size_t sent_ = 0;  // of answer_.bytes
};

}  // namespace moongate::cli
