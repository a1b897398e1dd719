// SPDX-License-Identifier: Apache-2.0
#include "script/stall_watch.h"

#include <luajit-2.1/lua.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "base/log.h"
#include "script/vm.h"

namespace moongate::script {

namespace {

constexpr int kFramesMax = 24;

// What the signal handler sees. One per process, as signals are.
struct Watched {
  const void* owner = nullptr;
  timer_t timer{};
  volatile int32_t* running_plugin = nullptr;
  volatile bool is_in_turn = false;
  volatile bool is_armed = false;
  volatile uint32_t looks = 0;  // at the present turn
  volatile bool is_stack_wanted = false;
  volatile int32_t plugin = 0;
  std::string stack;  // written by the hook, outside of signal context
};
Watched watched;

void set_timer(std::chrono::nanoseconds period) {
  timespec time{static_cast<time_t>(period.count() / 1'000'000'000),
                static_cast<long>(period.count() % 1'000'000'000)};
  itimerspec setting{time, time};
  ::timer_settime(watched.timer, 0, &setting, nullptr);
  watched.is_armed = period.count() > 0;
}

// Without memory of Lua's: the script may have used it up.
void take_stack(lua_State* state, lua_Debug*) {
  Vm::end_interrupt(state);
  if (!watched.is_stack_wanted) return;
  watched.is_stack_wanted = false;
  lua_Debug frame{};
  for (int level = 0; level < kFramesMax && lua_getstack(state, level, &frame) == 1; level++) {
    if (lua_getinfo(state, "nSl", &frame) == 0) break;
    char text[256];
    const char* name = frame.name ? frame.name : "?";
    if (frame.currentline > 0)
      std::snprintf(text, sizeof text, "\n\t%s:%d: in %s", frame.short_src, frame.currentline, name);
    else
      std::snprintf(text, sizeof text, "\n\t%s: in %s", frame.short_src, name);
    watched.stack += text;
  }
}

// A compiled loop looks for hooks only when the profiler has it look, which is at a sample.
Vm::Hook find_hook() { return watched.is_stack_wanted ? take_stack : nullptr; }

void on_look(int) {
  if (!watched.is_in_turn) {  // the loop rests, and so do we
    set_timer({});
    return;
  }
  watched.looks = watched.looks + 1;
  // The first look may come right after the turn has begun; from then on it is half of the limit each.
  if (watched.looks != 3) return;
  watched.plugin = watched.running_plugin ? *watched.running_plugin : 0;
  watched.is_stack_wanted = true;
  if (!Vm::interrupt(take_stack)) watched.is_stack_wanted = false;
}

}  // namespace

StallWatch::StallWatch(net::EventLoop& loop, volatile int32_t* running_plugin, Report report)
    : loop_(loop), report_(std::move(report)) {
  MG_ASSERT(watched.owner == nullptr);
  watched.owner = this;
  watched.running_plugin = running_plugin;
  struct sigaction action {};
  action.sa_handler = on_look;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGPROF);
  ::sigaction(SIGALRM, &action, nullptr);
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  has_timer_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
  if (!has_timer_) MG_LOG(kWarn) << "stalls are not watched for: " << base::io_error("timer").detail;
  watched.timer = timer_;
  Vm::set_find_hook(find_hook);
  loop_.observe_turns(this);
}

StallWatch::~StallWatch() {
  loop_.forget_observer(this);
  Vm::set_find_hook(nullptr);
  if (has_timer_) ::timer_delete(timer_);
  ::signal(SIGALRM, SIG_IGN);
  watched = {};
}

void StallWatch::set_limit(std::chrono::milliseconds limit) {
  limit_ = has_timer_ ? limit : std::chrono::milliseconds(0);
  if (watched.is_armed) set_timer(limit_ / 2);
}

void StallWatch::on_turn_begin() {
  if (limit_.count() == 0) return;
  watched.looks = 0;
  watched.is_in_turn = true;
  if (!watched.is_armed) set_timer(limit_ / 2);
}

void StallWatch::on_turn_end(base::Duration took) {
  if (!watched.is_in_turn) return;
  watched.is_in_turn = false;
  watched.is_stack_wanted = false;
  if (watched.looks < 3) return;
  Stall stall;
  stall.took = std::chrono::duration_cast<std::chrono::milliseconds>(took);
  stall.plugin = watched.plugin;
  stall.stack = std::move(watched.stack);
  watched.stack.clear();
  watched.plugin = 0;
  report_(stall);
}

}  // namespace moongate::script
