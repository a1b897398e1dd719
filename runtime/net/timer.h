// SPDX-License-Identifier: Apache-2.0
// Timeouts that cost nothing to push back or to stop. A timer that is started again only has its deadline
// moved, and a stopped one is only marked: both keep their place in the wheel and are looked at again when it
// comes up. So the timeouts that start, move and stop with every request are a few stores per request, and
// those that are far away, as of idle connections, wake nobody before they are near.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace moongate::net {

class TimerWheel;

/// One timeout. Place it in the object that waits.
///
/// Units:   nanoseconds on the steady clock; fires within a millisecond after its deadline, never before.
/// Owner:   whoever embeds it; destroying it stops it.
/// Runs in: the loop whose wheel it was started on.
class Timer {
 public:
  using Callback = void (*)(void* argument);
  Timer(Callback callback, void* argument) : callback_(callback), argument_(argument) {}
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Fires once after `delay` from now; moves the deadline if it is running.
  void start(TimerWheel& wheel, base::Duration delay) {
    deadline_ = base::Clock::steady() + delay;
    is_running_ = true;
    if (wheel_ != &wheel || deadline_ < place_) relink(wheel);
  }
  void stop() { is_running_ = false; }
  bool is_running() const { return is_running_; }
  base::SteadyTime deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  void relink(TimerWheel& wheel);

  TimerWheel* wheel_ = nullptr;  // whose slot holds us; null when none does
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;    // what points at us
  uint64_t slot_ = 0;         // that holds us
  base::SteadyTime place_{};  // when the slot comes up
  base::SteadyTime deadline_{};
  bool is_running_ = false;
  Callback callback_;
  void* argument_;
};

/// The timers of one loop.
///
/// Shape:   4096 slots of a millisecond, and behind them 256 far slots, each of a turn of the near ones: when
/// a turn begins, its far slot is spread over the near ones. What is farther away than all is looked at again
/// on the way.
class TimerWheel {
 public:
  TimerWheel();
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Fires what is due at Clock::steady().
  void advance();
  /// True when something may wait; advance() has no work before `at`.
  bool next_wakeup(base::SteadyTime* at) const;

 private:
  friend class Timer;
  static constexpr uint64_t kSlots = 4096;
  static constexpr uint64_t kFarSlots = 256;
  static uint64_t tick_of(base::SteadyTime time);
  void link(Timer* timer);
  void unlink(Timer* timer);
  void put(Timer* timer, uint64_t slot);
  Timer* take_all(uint64_t slot);
  void catch_up(uint64_t tick);
  void spread(uint64_t turn);
  void run_slot(uint64_t tick);
  uint64_t find_earliest_near() const;
  uint64_t find_earliest() const;

  static constexpr uint64_t kNever = UINT64_MAX;
  std::array<Timer*, kSlots + kFarSlots> slots_{};
  std::array<uint64_t, (kSlots + kFarSlots) / 64> occupied_{};
  uint64_t current_tick_;       // everything before it has fired
  uint64_t earliest_ = kNever;  // no timer is linked before it; taking one out leaves it as it is
};

}  // namespace moongate::net
