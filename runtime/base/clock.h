// SPDX-License-Identifier: Apache-2.0
// Two clocks. `steady` never jumps and measures waits; `wall` is the calendar and names windows and dates.
// Both are read once per turn of the event loop (`refresh`) and are free in between. Tests move them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace moongate::base {

using Duration = std::chrono::nanoseconds;
/// Nanoseconds on the monotonic clock.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
/// Nanoseconds since 1970-01-01 UTC.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

class Clock {
 public:
  /// Reads both clocks. The loop calls it when it wakes.
  static void refresh();
  static SteadyTime steady() { return steady_; }
  static WallTime wall() { return wall_; }
  /// Reads the monotonic clock now, for measuring within a turn.
  static SteadyTime steady_now();
  /// Shifts both clocks for this process, from now on. Used by tests and the plugin test kit.
  static void set_offset(Duration offset) { offset_ = offset; }
  /// Shifts both clocks by the nanoseconds found at `offset_ns` too, whenever they are read. Another process
  /// may write there (shm/moving_clock.h); null ends it. What is found at `wall_offset_ns` moves the calendar
  /// alone.
  static void follow(const std::atomic<int64_t>* offset_ns,
                     const std::atomic<int64_t>* wall_offset_ns = nullptr) {
    followed_ = offset_ns;
    followed_wall_ = wall_offset_ns;
  }
  static Duration offset() {
    return followed_ == nullptr ? offset_ : offset_ + Duration(followed_->load(std::memory_order_relaxed));
  }

 private:
  static SteadyTime steady_;
  static WallTime wall_;
  static Duration offset_;
  static const std::atomic<int64_t>* followed_;
  static const std::atomic<int64_t>* followed_wall_;
};

}  // namespace moongate::base
