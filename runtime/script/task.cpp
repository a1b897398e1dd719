// SPDX-License-Identifier: Apache-2.0
#include "script/task.h"

#include <algorithm>
#include <luajit-2.1/lua.hpp>

#include "script/host.h"

namespace moongate::script {

using base::Clock;
using exchange::Phase;

const char* Task::refuse_wait(lua_State* state) const {
  if (!lua_isyieldable(state) || is_waiting)
    return "this cannot wait inside a callback of string.gsub, table.sort or require; call it outside";
  if (phase == Phase::kLog && !is_counted && !host.may_log_wait(*exchange))
    return "too many log phases wait already; hand the work to a timer that sends many entries at once";
  return nullptr;
}

void Task::begin_wait(std::function<void()> cancel, bool is_for_client) {
  is_waiting = true;
  on_cancel = std::move(cancel);
  if (!exchange || is_for_client) return;
  base::Duration limit = host.waiting_limit(*exchange);
  if (limit.count() <= 0) return;
  waiting_since_ = Clock::steady();
  budget_.start(host.loop().timers(),
                std::max<base::Duration>(limit - exchange->time_waited, base::Duration(1)));
}

void Task::end_wait() {
  is_waiting = false;
  timer.stop();
  on_cancel = nullptr;
  on_timeout = nullptr;
  if (!budget_.is_running()) return;
  budget_.stop();
  exchange->time_waited += Clock::steady() - waiting_since_;
}

void Task::abandon_wait() {
  auto end = std::move(on_cancel);
  end_wait();
  if (end) end();
}

void Task::wake(const std::function<int(lua_State*)>& push) { host.resume_task(*this, push(thread)); }

void Task::on_timer(void* self) {
  auto* task = static_cast<Task*>(self);
  auto push = std::move(task->on_timeout);
  task->wake(push ? push : [](lua_State*) { return 0; });
}

void Task::on_overdue(void* self) {
  auto* task = static_cast<Task*>(self);
  task->host.end_overdue(*task);
}

}  // namespace moongate::script
