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
  explicit Task(Host& owner) : host(owner), timer(on_timer, this), budget_(on_overdue, this) {}

  Host& host;
  lua_State* thread = nullptr;
  int reference = 0;                       // keeps the thread alive in Lua
  exchange::Exchange* exchange = nullptr;  // null: detached (a timer)
  exchange::Phase phase = exchange::Phase::kNone;
  bool is_waiting = false;
  bool is_detached = false;
  bool is_entered = false;                    // on the C stack now
  bool is_abandoned = false;                  // its exchange ended meanwhile
  bool is_counted = false;                    // among the log phases that wait
  size_t counted_bytes = 0;                   // what its exchange holds while it waits there
  int32_t plugin = 0;                         // the one that waits
  net::Timer timer;                           // sleep, and deadlines of waits
  std::function<void()> on_cancel;            // ends what is waited for
  std::function<int(lua_State*)> on_timeout;  // pushes results when the timer fires; default: none

  /// Why it must not wait now, or null.
  const char* refuse_wait(lua_State* state) const;
  /// Says that the task waits; the C function then returns lua_yield(L, 0). Waiting for the client's own
  /// bytes is not the plugin's time.
  void begin_wait(std::function<void()> cancel, bool is_for_client = false);
  /// It waits no more, whatever came of it.
  void end_wait();
  /// Ends what is waited for; the task will not go on.
  void abandon_wait();
  /// What was waited for has come: goes on with `push`ed results.
  void wake(const std::function<int(lua_State*)>& push);

 private:
  static void on_timer(void* self);
  static void on_overdue(void* self);

  net::Timer budget_;  // of waiting
  base::SteadyTime waiting_since_{};
};

}  // namespace moongate::script
