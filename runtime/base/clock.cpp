// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

namespace moongate::base {

SteadyTime Clock::steady_ = std::chrono::steady_clock::now();
WallTime Clock::wall_ = std::chrono::system_clock::now();
Duration Clock::offset_{0};
const std::atomic<int64_t>* Clock::followed_ = nullptr;
const std::atomic<int64_t>* Clock::followed_wall_ = nullptr;

void Clock::refresh() {
  const Duration shift = offset();
  steady_ = std::chrono::steady_clock::now() + shift;
  wall_ = std::chrono::system_clock::now() + shift;
  if (followed_wall_ != nullptr) wall_ += Duration(followed_wall_->load(std::memory_order_relaxed));
}

SteadyTime Clock::steady_now() { return std::chrono::steady_clock::now() + offset(); }

}  // namespace moongate::base
