// SPDX-License-Identifier: Apache-2.0
// One question of control's own to an HTTP server somewhere: a POST in clear, an answer of bounded size, and
// a clock. Apart from upstream/, whose business is to pass on what clients ask at the speed they ask it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/arena.h"
#include "http/head.h"
#include "net/event_loop.h"
#include "net/resolver.h"
#include "net/stream.h"

namespace moongate::control {

/// A POST under way.
///
/// Owner:   whoever waits for it; destroying it ends it without a call. `on_over` comes once and may destroy
/// it.
/// Runs in: control's loop.
/// Fails:   anything but 200 with a whole body, more than `answer_max_bytes`, or the deadline.
class HttpPost {
 public:
  struct Question {
    std::string url;  // http://HOST[:PORT]/PATH
    std::string content_type;
    std::string body;
    size_t answer_max_bytes;
    base::Duration deadline;
  };
  using Callback = std::function<void(base::Result<std::string>)>;

  HttpPost(net::EventLoop& loop, net::Resolver& resolver, const Question& question, Callback on_over);

 private:
  void resolve(net::Resolver& resolver, const std::string& host);
  void connect_next();
  static void on_ready(void* self);
  void write();
  void read();
  void look_at_answer(bool is_at_end);
  void take_body(const http::ResponseHead& head, std::string_view body, bool is_at_end);
  void fail(base::ErrorKind kind, const std::string& what);
  void finish(base::Result<std::string> result);

  net::EventLoop& loop_;
  std::string url_;
  std::string request_;
  size_t answer_max_bytes_;
  Callback on_over_;
  uint16_t port_ = 80;
  std::shared_ptr<const net::Resolver::Addresses> addresses_;
  size_t next_address_ = 0;
  size_t written_ = 0;
  std::string answer_;  // as received
  std::string last_error_;
  std::unique_ptr<net::Stream> stream_;
  net::Timer deadline_;
  net::Deferred over_;  // the owner may destroy us, so never from within a call of ours
  base::Result<std::string> result_{std::string()};
  bool is_over_ = false;
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);  // the resolver may answer too late
};

}  // namespace moongate::control
