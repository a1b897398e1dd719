// SPDX-License-Identifier: Apache-2.0
// One look at one node: connect, and for HTTP ask and read the answer's head. What is made of it is
// control/health_checks.h's. Apart from http_question.h, which wants whole answers and does not tell one
// failure from another.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/event_loop.h"
#include "net/resolver.h"
#include "tls/stream.h"

namespace moongate::control {

/// A look under way.
///
/// Owner:   whoever waits for it; destroying it ends it without a call. `on_over` comes once and may destroy
/// it.
/// Runs in: control's loop; never blocks.
class HealthProbe {
 public:
  struct Target {
    std::string host;  // a name, an address or "unix:PATH"
    uint16_t port = 0;
    uint32_t turn = 0;    // which of a name's addresses
    std::string request;  // empty: who can be connected to is well
    std::shared_ptr<const tls::ClientContext> tls;
    std::string server_name;
    base::Duration timeout{};

    /// Whether the same is asked of the same node, whichever of its addresses it is.
    bool is_same(const Target& other) const;
  };
  struct Outcome {
    enum class Kind : uint8_t { kConnected, kAnswered, kFailed, kTimedOut };
    Kind kind = Kind::kFailed;
    uint16_t status = 0;  // of kAnswered
    std::string detail;   // of a failure
    std::string address;  // that was tried, without the port
  };
  using Callback = std::function<void(const Outcome&)>;

  HealthProbe(net::EventLoop& loop, net::Resolver& resolver, Target target, Callback on_over);

  const Target& target() const { return target_; }
  /// The outcome is somebody else's from now on.
  void hand_to(Callback on_over) { on_over_ = std::move(on_over); }

 private:
  void resolve(net::Resolver& resolver);
  void connect(const base::Result<net::SocketAddress>& address);
  static void on_ready(void* self);
  bool step_connect();
  void write();
  void read();
  void take_head();
  void fail(std::string detail);
  void finish(Outcome::Kind kind, uint16_t status, std::string detail);

  net::EventLoop& loop_;
  Target target_;
  Callback on_over_;
  size_t written_ = 0;
  int interims_ = 0;  // answers before the one that counts
  std::string head_;  // as received
  Outcome outcome_;
  std::unique_ptr<tls::Stream> stream_;
  net::Timer deadline_;
  net::Deferred over_;  // the owner may destroy us, so never from within a call of ours
  bool is_over_ = false;
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);  // the resolver may answer too late
};

}  // namespace moongate::control
