// SPDX-License-Identifier: Apache-2.0
// Notices turns of a worker's loop that take too long, and where a script was meanwhile: a plugin that blocks
// or computes for long holds up every request of its worker, and does not know.
#pragma once

#include <signal.h>
#include <time.h>

#include <functional>
#include <string>

#include "net/event_loop.h"

namespace moongate::script {

/// Watches the turns of one loop.
///
/// Units:   looks twice in the time that is the limit, by a timer of the kernel that rests while the loop
///          does; so a stall is seen when it has lasted for one and a half times the limit, at the latest.
/// Owner:   one per process, as the signal (SIGALRM) is.
/// Runs in: the loop's thread; the signal handler only counts, and asks for a hook that takes the stack.
/// Fails:   without a timer of the kernel it says so once and watches nothing.
class StallWatch final : public net::TurnObserver {
 public:
  /// What took too long, how long, and the stack of the script that ran; empty when none did.
  struct Stall {
    std::chrono::milliseconds took;
    int32_t plugin = 0;
    std::string stack;
  };
  using Report = std::function<void(const Stall&)>;

  StallWatch(net::EventLoop& loop, volatile int32_t* running_plugin, Report report);
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;

  /// 0: off.
  void set_limit(std::chrono::milliseconds limit);
  void on_turn_begin() override;
  void on_turn_end(base::Duration took) override;

 private:
  void arm();

  net::EventLoop& loop_;
  Report report_;
  std::chrono::milliseconds limit_{0};
  timer_t timer_{};
  bool has_timer_ = false;
};

}  // namespace moongate::script
