// SPDX-License-Identifier: Apache-2.0
// DIR/control.sock: how `moongate reload` and its kin talk to the instance. One JSON object per line each
// way; whoever may open the socket (its owner) may do everything.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/value.h"
#include "control/client_socket.h"
#include "net/listener.h"

namespace moongate::control {

/// Accepts commands and hands them on; answers when the owner says so, in the order of the requests.
///
/// Shape:   at most 32 connections, one request under way on each, 64 KB a line.
/// Fails:   what is no JSON object with a `command` is answered {"ok":false,"errors":[...]}.
class CommandServer {
 public:
  /// `answer` may be called at once or later, once.
  using Answer = std::function<void(const base::Value&)>;
  using Handler = std::function<void(const std::string& command, const base::Value& request, Answer answer)>;

  CommandServer(net::EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}
  /// Takes over the listening socket.
  void start(int fd);

 private:
  static void on_accept(void* self, int fd, const net::SocketAddress& peer);
  void on_input(ClientSocket& client);
  void answer(uint64_t client_id, const base::Value& value);

  net::EventLoop& loop_;
  Handler handler_;
  snapshot::Descriptor socket_;
  net::Listener listener_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<ClientSocket>> clients_;
  std::map<uint64_t, bool> is_busy_;
};

/// {"ok": false, "errors": [...]}
base::Value refusal(const std::vector<std::string>& errors);

}  // namespace moongate::control
