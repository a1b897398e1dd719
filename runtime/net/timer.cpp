// SPDX-License-Identifier: Apache-2.0
#include "net/timer.h"

#include <bit>

namespace moongate::net {

using base::Clock;
using base::SteadyTime;

namespace {
constexpr base::Duration kTick = std::chrono::milliseconds(1);
}

Timer::~Timer() {
  if (wheel_) wheel_->unlink(this);
}

void Timer::relink(TimerWheel& wheel) {
  if (wheel_) wheel_->unlink(this);
  wheel.link(this);
}

TimerWheel::TimerWheel() : current_tick_(tick_of(Clock::steady())) {}

TimerWheel::~TimerWheel() {
  for (Timer* timer : slots_) {
    for (; timer; timer = timer->next_) timer->wheel_ = nullptr;
  }
}

uint64_t TimerWheel::tick_of(SteadyTime time) {
  // Rounded up, so that nothing fires before its deadline.
  return static_cast<uint64_t>((time.time_since_epoch() + kTick - base::Duration(1)) / kTick);
}

void TimerWheel::link(Timer* timer) {
  uint64_t tick = tick_of(timer->deadline_);
  if (tick < current_tick_) tick = current_tick_;
  if (tick >= current_tick_ + kSlots) tick = current_tick_ + kSlots - 1;  // looked at again on the way
  timer->wheel_ = this;
  timer->tick_ = tick;
  timer->place_ = SteadyTime(static_cast<int64_t>(tick) * kTick);
  uint64_t slot = tick % kSlots;
  Timer** head = &slots_[slot];
  timer->next_ = *head;
  timer->link_ = head;
  if (*head) (*head)->link_ = &timer->next_;
  *head = timer;
  occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
  if (tick < earliest_) earliest_ = tick;
}

void TimerWheel::unlink(Timer* timer) {
  *timer->link_ = timer->next_;
  if (timer->next_) timer->next_->link_ = timer->link_;
  timer->next_ = nullptr;
  timer->wheel_ = nullptr;
  uint64_t slot = timer->tick_ % kSlots;
  if (!slots_[slot]) occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
}

void TimerWheel::advance() {
  auto now = static_cast<uint64_t>(Clock::steady().time_since_epoch() / kTick);
  if (earliest_ > now) {
    current_tick_ = now + 1;
    return;
  }
  if (now >= current_tick_ + kSlots)
    current_tick_ = now - kSlots + 1;  // asleep for a whole turn of the wheel
  while (current_tick_ <= now) {
    uint64_t slot = current_tick_ % kSlots;
    uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word == 0) {
      current_tick_ += 64 - slot % 64;
      continue;
    }
    current_tick_ += static_cast<uint64_t>(std::countr_zero(word));
    if (current_tick_ <= now) run_slot(current_tick_);
  }
  current_tick_ = now + 1;
  earliest_ = find_earliest();
}

void TimerWheel::run_slot(uint64_t tick) {
  uint64_t slot = tick % kSlots;
  // Take the list off first: callbacks may start and stop any timer, in this slot too.
  Timer* due = slots_[slot];
  slots_[slot] = nullptr;
  occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
  if (due) due->link_ = &due;
  SteadyTime now = Clock::steady();
  current_tick_ = tick + 1;
  while (due) {
    Timer* timer = due;
    due = timer->next_;
    if (due) due->link_ = &due;
    timer->next_ = nullptr;
    timer->wheel_ = nullptr;
    if (!timer->is_running_) continue;
    if (timer->deadline_ > now) {
      link(timer);
      continue;
    }
    timer->is_running_ = false;
    timer->callback_(timer->argument_);
  }
}

uint64_t TimerWheel::find_earliest() const {
  for (uint64_t step = 0; step < kSlots;) {
    uint64_t tick = current_tick_ + step;
    uint64_t slot = tick % kSlots;
    uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word != 0) return tick + static_cast<uint64_t>(std::countr_zero(word));
    step += 64 - slot % 64;
  }
  return kNever;
}

bool TimerWheel::next_wakeup(SteadyTime* at) const {
  if (earliest_ == kNever) return false;
  *at = SteadyTime(static_cast<int64_t>(earliest_) * kTick);
  return true;
}

}  // namespace moongate::net
