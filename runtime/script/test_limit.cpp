// SPDX-License-Identifier: Apache-2.0
// The time limit of one test: an alarm arms a hook, which ends Lua code that loops; waits look at the time
// themselves.

#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "script/test_functions.h"

namespace moongate::script {
namespace {

// What the signal handler sees. One per process, as signals are.
struct Limit {
  lua_State* volatile state = nullptr;
  volatile double deadline = 0;  // 0: none
  volatile int seconds = 0;
  volatile int alarms = 0;
};
Limit limit;

// A test that catches the error again and again ends with its process.
constexpr int kAlarmsMax = 5;

// Takes the hook away, so that it does not strike the handler of this very error; the next alarm sets it
// again.
int raise_over_limit(lua_State* state) {
  lua_sethook(state, nullptr, 0, 0);
  lua_pushfstring(state, "over the time limit of %d s", static_cast<int>(limit.seconds));
  return lua_error(state);
}

void on_hook(lua_State* state, lua_Debug*) { raise_over_limit(state); }

void on_alarm(int) {
  limit.alarms = limit.alarms + 1;
  if (limit.alarms > kAlarmsMax) {
    constexpr char kText[] = "moongate plugin test: a test ignores its time limit; giving up\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
    ::_exit(1);
  }
  if (limit.state != nullptr) lua_sethook(limit.state, on_hook, LUA_MASKCOUNT, 1);
}

void set_alarm(int seconds) {
  itimerval timer{};
  timer.it_value.tv_sec = seconds;
  timer.it_interval.tv_sec = seconds > 0 ? 1 : 0;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

/// limit(seconds): from now on, until limit(0).
int set_limit(lua_State* state) {
  const int seconds = static_cast<int>(luaL_checkinteger(state, 1));
  limit.state = nullptr;
  set_alarm(0);
  lua_sethook(state, nullptr, 0, 0);
  limit.alarms = 0;
  limit.seconds = seconds;
  limit.deadline = seconds > 0 ? monotonic_seconds() + seconds : 0;
  if (seconds <= 0) return 0;
  limit.state = state;
  struct sigaction action {};
  action.sa_handler = on_alarm;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGALRM, &action, nullptr);  // without SA_RESTART: a wait looks at the time when it is woken
  set_alarm(seconds);
  return 0;
}

int monotonic(lua_State* state) {
  lua_pushnumber(state, monotonic_seconds());
  return 1;
}

/// pause(seconds): lets time pass between two looks at a condition.
int pause(lua_State* state) {
  const double deadline = monotonic_seconds() + luaL_checknumber(state, 1);
  while (const int wait_ms = poll_limit_ms(state, deadline)) {
    const timespec span{wait_ms / 1000, (wait_ms % 1000) * 1000000L};
    ::nanosleep(&span, nullptr);
  }
  return 0;
}

}  // namespace

double monotonic_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

int poll_limit_ms(lua_State* state, double deadline) {
  const double now = monotonic_seconds();
  if (limit.deadline > 0 && now >= limit.deadline) raise_over_limit(state);
  if (now >= deadline) return 0;
  return static_cast<int>(std::ceil(std::min(1.0, deadline - now) * 1000));
}

void register_test_limit(lua_State* state) {
  constexpr luaL_Reg kFunctions[] = {
      {"limit", set_limit}, {"monotonic", monotonic}, {"pause", pause}, {nullptr, nullptr}};
  luaL_register(state, nullptr, kFunctions);
}

}  // namespace moongate::script
