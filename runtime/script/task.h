// SPDX-License-Identifier: Apache-2.0
// A coroutine that runs hooks, and what it waits for.
#pragma once

#include <functional>

#include "exchange/exchange.h"
#include "net/timer.h"

struct lua_State;

namespace moongate::script {

class Host;

/// One recycled coroutine.
class Task {
 public:
  explicit Task(Host& owner) : host(owner), timer(on_timer, this) {}

  Host& host;
  lua_State* thread = nullptr;
  int reference = 0;                       // keeps the thread alive in Lua
  exchange::Exchange* exchange = nullptr;  // null: detached (a timer)
  exchange::Phase phase = exchange::Phase::kNone;
  bool is_waiting = false;
  bool is_detached = false;
  bool is_entered = false;                    // on the C stack now
  net::Timer timer;                           // sleep, and deadlines of waits
  std::function<void()> on_cancel;            // ends what is waited for
  std::function<int(lua_State*)> on_timeout;  // pushes results when the timer fires; default: none

  /// Says that the task waits; the C function then returns lua_yield(L, 0).
  void begin_wait(std::function<void()> cancel);
  /// What was waited for has come: goes on with `push`ed results.
  void wake(const std::function<int(lua_State*)>& push);

 private:
  static void on_timer(void* self);
};

}  // namespace moongate::script
