// SPDX-License-Identifier: Apache-2.0
// The part of the host that minds those who wait: for how long they may, how many log phases may at once, and
// what becomes of a wait whose request has ended.
#include <algorithm>
#include <luajit-2.1/lua.hpp>

#include "script/host.h"
#include "script/task.h"

namespace moongate::script {

using exchange::Exchange;
using exchange::Phase;
using exchange::StepResult;

namespace {

constexpr const char* kPhaseNames[] = {"init",          "rewrite or access", "access", "before_proxy",
                                       "header_filter", "body_filter",       "log"};
// Log phases that wait hold their requests in memory, though the clients are served.
constexpr uint32_t kWaitingLogsMax = 1024;
constexpr size_t kWaitingLogsBytesMax = 64u << 20;
constexpr auto kLogWaitMax = std::chrono::seconds(60);

}  // namespace

base::Duration Host::waiting_limit(Exchange& exchange) const {
  if (exchange.time_waited_phase != exchange.phase) {
    exchange.time_waited_phase = exchange.phase;
    exchange.time_waited = base::Duration(0);
  }
  if (exchange.phase != Phase::kLog) return wall_budget_;
  return wall_budget_.count() == 0 ? kLogWaitMax : std::min<base::Duration>(wall_budget_, kLogWaitMax);
}

bool Host::may_log_wait(const Exchange& exchange) const {
  return waiting_logs_ < kWaitingLogsMax &&
         waiting_logs_bytes_ + exchange.body.size() <= kWaitingLogsBytesMax;
}

// Called when the task begins to wait, and again when it is over.
void Host::count_waiting_log(Task& task) {
  if (task.is_waiting && !task.is_counted) {
    task.is_counted = true;
    task.counted_bytes = task.exchange->body.size();
    waiting_logs_++;
    waiting_logs_bytes_ += task.counted_bytes;
  } else if (!task.is_waiting && task.is_counted) {
    task.is_counted = false;
    waiting_logs_--;
    waiting_logs_bytes_ -= task.counted_bytes;
  }
}

void Host::drop_waiting(Task& task) {
  if (task.exchange) task.exchange->task = nullptr;
  task.abandon_wait();
  drop_task(&task);
}

void Host::end_overdue(Task& task) {
  Exchange& exchange = *task.exchange;
  std::string who = accounts_.describe(task.plugin);
  auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(waiting_limit(exchange)).count();
  std::string text = "waited longer than " + std::to_string(limit) + " ms in " +
                     kPhaseNames[static_cast<size_t>(exchange.phase)];
  luaL_traceback(vm_->state(), task.thread, text.c_str(), 0);
  *running_plugin_ = task.plugin;
  note_failure(false, &exchange, pop_error());
  fail_exchange(exchange, 504, who + " waited too long");
  drop_waiting(task);
  on_resume_(exchange, StepResult::kAnswer);
}

bool Host::cancel(Exchange& exchange) {
  auto* task = static_cast<Task*>(exchange.task);
  if (!task) return true;
  if (task->is_entered) {
    task->is_abandoned = true;
    return false;
  }
  drop_waiting(*task);
  return true;
}

}  // namespace moongate::script
