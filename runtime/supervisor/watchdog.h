// SPDX-License-Identifier: Apache-2.0
// Notices a process whose loop stands still: its heartbeat in shared memory stops moving. Pure: told the
// beats and the time.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace moongate::supervisor {

/// One process's heartbeat.
class Watchdog {
 public:
  /// The process was started: no beat was seen yet.
  void start(base::SteadyTime now) {
    beat_ = 0;
    moved_at_ = now;
    looked_at_ = now;
  }
  /// Looks at the heartbeat; true when it has not moved for `limit`. When we ourselves did not look for half
  /// of that time, the machine was asleep or busy, and the process gets the whole limit again.
  bool is_hung(uint64_t beat, base::SteadyTime now, base::Duration limit) {
    const bool was_away = now - looked_at_ > limit / 2;
    looked_at_ = now;
    if (beat != beat_ || was_away) {
      beat_ = beat;
      moved_at_ = now;
      return false;
    }
    return now - moved_at_ >= limit;
  }

 private:
  uint64_t beat_ = 0;
  base::SteadyTime moved_at_{};
  base::SteadyTime looked_at_{};
};

}  // namespace moongate::supervisor
