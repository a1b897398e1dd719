// SPDX-License-Identifier: Apache-2.0
#include "net/timer.h"

#include <algorithm>
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
  const uint64_t tick = std::max(tick_of(timer->deadline_), current_tick_);
  uint64_t due = tick;
  uint64_t slot = tick % kSlots;
  if (tick >= current_tick_ + kSlots) {
    const uint64_t turn = std::min(tick / kSlots, current_tick_ / kSlots + kFarSlots - 1);
    due = turn * kSlots;
    slot = kSlots + turn % kFarSlots;
  }
  timer->wheel_ = this;
  timer->place_ = SteadyTime(static_cast<int64_t>(due) * kTick);
  put(timer, slot);
  earliest_ = std::min(earliest_, due);
}

void TimerWheel::put(Timer* timer, uint64_t slot) {
  Timer** head = &slots_[slot];
  timer->slot_ = slot;
  timer->next_ = *head;
  timer->link_ = head;
  if (*head) (*head)->link_ = &timer->next_;
  *head = timer;
  occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
}

void TimerWheel::unlink(Timer* timer) {
  *timer->link_ = timer->next_;
  if (timer->next_) timer->next_->link_ = timer->link_;
  timer->next_ = nullptr;
  timer->wheel_ = nullptr;
  const uint64_t slot = timer->slot_;
  if (!slots_[slot]) occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
}

Timer* TimerWheel::take_all(uint64_t slot) {
  Timer* first = slots_[slot];
  slots_[slot] = nullptr;
  occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
  return first;
}

void TimerWheel::advance() {
  auto now = static_cast<uint64_t>(Clock::steady().time_since_epoch() / kTick);
  if (earliest_ > now) {
    current_tick_ = now + 1;
    return;
  }
  if (now >= current_tick_ + kSlots) catch_up(now - kSlots + 1);
  while (current_tick_ <= now) {
    uint64_t slot = current_tick_ % kSlots;
    if (slot == 0) spread(current_tick_ / kSlots);
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

/// After a sleep of more than a turn: the near slots are gone through once, and what lay in far ones that
/// were passed is with them.
void TimerWheel::catch_up(uint64_t tick) {
  const uint64_t former = current_tick_ / kSlots;
  current_tick_ = tick;
  const uint64_t turns = std::min(tick / kSlots - former, kFarSlots - 1);
  for (uint64_t turn = tick / kSlots - turns; turn <= tick / kSlots; turn++) spread(turn);
}

/// No callback is called, so nothing but this changes the list.
void TimerWheel::spread(uint64_t turn) {
  for (Timer* timer = take_all(kSlots + turn % kFarSlots); timer != nullptr;) {
    Timer* next = timer->next_;
    timer->next_ = nullptr;
    timer->wheel_ = nullptr;
    if (timer->is_running_) link(timer);
    timer = next;
  }
}

void TimerWheel::run_slot(uint64_t tick) {
  // Take the list off first: callbacks may start and stop any timer, in this slot too.
  Timer* due = take_all(tick % kSlots);
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

uint64_t TimerWheel::find_earliest_near() const {
  for (uint64_t step = 0; step < kSlots;) {
    uint64_t tick = current_tick_ + step;
    uint64_t slot = tick % kSlots;
    uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word != 0) return tick + static_cast<uint64_t>(std::countr_zero(word));
    step += 64 - slot % 64;
  }
  return kNever;
}

uint64_t TimerWheel::find_earliest() const {
  const uint64_t near = find_earliest_near();
  const uint64_t first = (current_tick_ + kSlots - 1) / kSlots;
  for (uint64_t turn = first; turn < first + kFarSlots && turn * kSlots < near; turn++) {
    if (slots_[kSlots + turn % kFarSlots] != nullptr) return turn * kSlots;
  }
  return near;
}

bool TimerWheel::next_wakeup(SteadyTime* at) const {
  if (earliest_ == kNever) return false;
  *at = SteadyTime(static_cast<int64_t>(earliest_) * kTick);
  return true;
}

}  // namespace moongate::net
