// SPDX-License-Identifier: Apache-2.0
// How much a peer may ask for that gets it nothing: cancelled streams, control frames, empty frames. Attacks
// on HTTP/2 and HTTP/3 are made of them. http2_session.cpp and quic/http3_session.cpp count what comes in and
// end the connection of whoever overdoes it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace moongate::http {

/// Takes while there is something left; what was taken comes back with time, evenly.
///
/// Units:   `capacity` may be taken at once and comes back within ten seconds.
class Http2Allowance {
 public:
  explicit Http2Allowance(uint32_t capacity) : capacity_(capacity), left_(capacity) {}

  bool take() {
    if (left_ < 1) refill();
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

  void give() { left_ = std::min(capacity_, left_ + 1); }

 private:
  void refill() {
    const base::SteadyTime now = base::Clock::steady();
    const double seconds = std::chrono::duration<double>(now - refilled_).count();
    if (refilled_ != base::SteadyTime{}) left_ = std::min(capacity_, left_ + seconds * capacity_ / 10);
    refilled_ = now;
  }

  double capacity_;
  double left_;
  base::SteadyTime refilled_ = base::Clock::steady();
};

/// What one connection may still do. Each call says whether it may do it once more.
class Http2FloodGuard {
 public:
  explicit Http2FloodGuard(uint32_t resets_max) : resets_(resets_max) {}

  /// A stream that the peer cancelled or broke.
  bool take_reset() { return resets_.take(); }
  /// A frame that moves no request on: SETTINGS, PING, PRIORITY, unknown types, DATA or CONTINUATION with
  /// nothing in it.
  bool take_idle_frame() { return idle_frames_.take(); }
  /// Windows are opened for what was sent; more often than that nobody needs to. There are clients that open
  /// two for each 4 KB they read.
  bool take_window_update() {
    return ++window_updates_ <= kWindowUpdatesFree + 4 * useful_frames_ + data_bytes_ / 1024;
  }
  void note_data_sent(size_t size_bytes) { data_bytes_ += size_bytes; }
  /// DATA was sent, or a request came.
  void note_useful_frame() {
    useful_frames_++;
    idle_frames_.give();
  }

 private:
  static constexpr uint32_t kIdleFramesMax = 1000;
  static constexpr uint64_t kWindowUpdatesFree = 1000;

  Http2Allowance resets_;
  Http2Allowance idle_frames_{kIdleFramesMax};
  uint64_t window_updates_ = 0;
  uint64_t useful_frames_ = 0;
  uint64_t data_bytes_ = 0;
};

}  // namespace moongate::http
