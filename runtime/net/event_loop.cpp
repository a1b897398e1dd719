// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <event2/event.h>

namespace moongate::net {

using base::Clock;

void FdWatch::start(EventLoop& loop, int fd, Interest interest, Callback callback, void* argument) {
  stop();
  loop_ = &loop;
  callback_ = callback;
  argument_ = argument;
  short what = EV_PERSIST;
  switch (interest) {
    case Interest::kRead:
      what |= EV_READ;
      break;
    case Interest::kWrite:
      what |= EV_WRITE;
      break;
    case Interest::kEdge:
      what |= EV_READ | EV_WRITE | EV_CLOSED | EV_ET;
      break;
  }
  MG_ASSERT(event_assign(&event_, loop.base_, fd, what, on_event, this) == 0);
  MG_ASSERT(event_add(&event_, nullptr) == 0);
}

void FdWatch::stop() {
  if (!loop_) return;
  event_del(&event_);
  loop_ = nullptr;
}

void FdWatch::on_event(int, short what, void* self) {
  auto* watch = static_cast<FdWatch*>(self);
  watch->loop_->begin_turn();
  watch->callback_(watch->argument_,
                   Readiness{(what & EV_READ) != 0, (what & EV_WRITE) != 0, (what & EV_CLOSED) != 0});
}

void SignalWatch::start(EventLoop& loop, int signal_number, Callback callback, void* argument) {
  stop();
  loop_ = &loop;
  callback_ = callback;
  argument_ = argument;
  MG_ASSERT(evsignal_assign(&event_, loop.base_, signal_number, on_event, this) == 0);
  MG_ASSERT(event_add(&event_, nullptr) == 0);
}

void SignalWatch::stop() {
  if (!loop_) return;
  event_del(&event_);
  loop_ = nullptr;
}

void SignalWatch::on_event(int fd, short, void* self) {
  auto* watch = static_cast<SignalWatch*>(self);
  watch->loop_->begin_turn();
  watch->callback_(watch->argument_, fd);
}

void Deferred::schedule(EventLoop& loop) {
  if (link_) return;
  next_ = loop.deferred_;
  link_ = &loop.deferred_;
  if (next_) next_->link_ = &next_;
  loop.deferred_ = this;
}

void Deferred::cancel() {
  if (!link_) return;
  *link_ = next_;
  if (next_) next_->link_ = link_;
  link_ = nullptr;
  next_ = nullptr;
}

base::Result<std::unique_ptr<EventLoop>> EventLoop::make() {
  std::unique_ptr<EventLoop> loop(new EventLoop());
  event_config* config = event_config_new();
  if (!config) return base::io_error("event loop");
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE);
  loop->base_ = event_base_new_with_config(config);
  event_config_free(config);
  if (!loop->base_) return base::io_error("event loop (epoll is needed)");
  evtimer_assign(
      &loop->wakeup_, loop->base_,
      [](int, short, void* self) { static_cast<EventLoop*>(self)->wakeup_at_ = base::SteadyTime::max(); },
      loop.get());
  return loop;
}

EventLoop::~EventLoop() {
  while (deferred_) deferred_->cancel();
  if (base_) {
    evtimer_del(&wakeup_);
    event_base_free(base_);
  }
}

void EventLoop::after_fork() { event_reinit(base_); }

void EventLoop::run() {
  is_stopped_ = false;
  while (!is_stopped_) run_once();
}

void EventLoop::run_once() {
  base::SteadyTime next{};
  if (!deferred_ && timers_.next_wakeup(&next)) {
    // Only an earlier wake-up is worth telling libevent; a late one finds nothing due and asks again.
    if (next < wakeup_at_) {
      auto wait = next - Clock::steady_now();
      if (wait < base::Duration(0)) wait = base::Duration(0);
      auto micros = std::chrono::ceil<std::chrono::microseconds>(wait).count();
      timeval timeout{static_cast<time_t>(micros / 1000000), static_cast<suseconds_t>(micros % 1000000)};
      evtimer_add(&wakeup_, &timeout);
      wakeup_at_ = next;
    }
  }
  is_turn_begun_ = false;
  event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | (deferred_ ? EVLOOP_NONBLOCK : 0));
  begin_turn();
  timers_.advance();
  run_deferred();
  if (observers_.empty()) return;
  const base::Duration took = Clock::steady_now() - turn_began_;
  for (TurnObserver* observer : observers_) observer->on_turn_end(took);
}

void EventLoop::run_deferred() {
  Deferred* due = deferred_;
  deferred_ = nullptr;
  if (due) due->link_ = &due;
  while (due) {
    Deferred* work = due;
    work->cancel();
    work->callback_(work->argument_);
  }
}

}  // namespace moongate::net
