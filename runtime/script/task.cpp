// SPDX-License-Identifier: Apache-2.0
#include "script/task.h"

#include <luajit-2.1/lua.hpp>

#include "script/host.h"

namespace moongate::script {

void Task::begin_wait(std::function<void()> cancel) {
  is_waiting = true;
  on_cancel = std::move(cancel);
}

void Task::wake(const std::function<int(lua_State*)>& push) { host.resume_task(*this, push(thread)); }

void Task::on_timer(void* self) {
  auto* task = static_cast<Task*>(self);
  auto push = std::move(task->on_timeout);
  task->wake(push ? push : [](lua_State*) { return 0; });
}

}  // namespace moongate::script
