// SPDX-License-Identifier: Apache-2.0
// How long to wait before a process that died is started again. A first death costs nothing; one that dies as
// soon as it is started must not keep the machine busy.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace moongate::supervisor {

/// One process's history.
class Backoff {
 public:
  static constexpr auto kShortLife = std::chrono::seconds(1);
  static constexpr auto kFirstDelay = std::chrono::milliseconds(50);
  static constexpr auto kDelayMax = std::chrono::seconds(5);

  /// The process that began at `started_at` is dead; how long to wait from now. At once after a life of a
  /// second or more and after the first short one; then 50 ms, doubling with every further short life up to 5
  /// s.
  base::Duration on_death(base::SteadyTime started_at, base::SteadyTime now) {
    if (now - started_at >= kShortLife) {
      short_lives_ = 0;
      return base::Duration(0);
    }
    const base::Duration delay = next_delay();
    short_lives_ = std::min(short_lives_ + 1, 30);
    return delay;
  }

 private:
  base::Duration next_delay() const {
    if (short_lives_ == 0) return base::Duration(0);
    const base::Duration delay = base::Duration(kFirstDelay) * (int64_t{1} << (short_lives_ - 1));
    return std::min(delay, base::Duration(kDelayMax));
  }

  int short_lives_ = 0;
};

}  // namespace moongate::supervisor
