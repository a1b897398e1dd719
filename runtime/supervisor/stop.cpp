// SPDX-License-Identifier: Apache-2.0
// How the instance ends: listening sockets first, then the workers (at once, or when they are done), then
// control, so that `moongate status` answers to the last.
#include <algorithm>
#include <csignal>

#include "base/log.h"
#include "supervisor/supervisor.h"

namespace moongate::supervisor {

using base::Clock;

namespace {

/// What a process that was told to end may take before it is killed.
constexpr auto kGrace = std::chrono::seconds(5);

}  // namespace

bool Supervisor::has_workers() const {
  return std::any_of(workers_.begin(), workers_.end(), [](const Child& child) { return child.pid != 0; });
}

void Supervisor::begin_stop(Stopping how) {
  if (how <= stopping_) return;
  stopping_ = how;
  const bool is_at_once = how == Stopping::kAtOnce;
  MG_LOG(kNotice) << (is_at_once ? "stopping" : "stopping when the requests under way have ended");
  instance_.listeners.close();
  remove_socket_files(instance_, options_.control);
  stop_deadline_ = Clock::steady_now() + kGrace +
                   (is_at_once ? base::Duration(0) : base::Duration(options_.settings.drain_timeout));
  for (const Child& child : workers_) {
    if (child.pid != 0) ::kill(child.pid, is_at_once ? SIGTERM : SIGQUIT);
  }
}

void Supervisor::continue_stop(base::SteadyTime now) {
  const bool is_over = now >= stop_deadline_;
  if (has_workers()) {
    if (!is_over) return;
    for (const Child& child : workers_) {
      if (child.pid == 0) continue;
      MG_LOG(kError) << child.title << " (pid " << child.pid << ") does not end and is killed";
      ::kill(child.pid, SIGKILL);
    }
    stop_deadline_ = now + kGrace;
    return;
  }
  if (control_.pid == 0) return;
  if (!is_control_told_) {
    is_control_told_ = true;
    stop_deadline_ = now + kGrace;
    ::kill(control_.pid, SIGTERM);
  } else if (is_over) {
    ::kill(control_.pid, SIGKILL);
    stop_deadline_ = now + kGrace;
  }
}

}  // namespace moongate::supervisor
