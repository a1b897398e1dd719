// SPDX-License-Identifier: Apache-2.0
// The loop, the children and their deaths. Stopping is in stop.cpp.
#include "supervisor/supervisor.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/log.h"
#include "supervisor/child.h"
#include "tls/ticket_keys.h"

namespace moongate::supervisor {

using base::Clock;
using base::Result;
using snapshot::Descriptor;
using snapshot::Message;
using snapshot::MessageType;

namespace {

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD}) sigaddset(&set, number);
  return set;
}

Result<void> block_signals() {
  const sigset_t set = watched_signals();
  ::signal(SIGPIPE, SIG_IGN);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return base::io_error("signals");
  return {};
}

/// A worker that builds its first snapshot does not turn its loop.
constexpr base::Duration kStartingLimit = std::chrono::seconds(30);

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::make(SupervisorOptions options) {
  // Blocked before anyone can connect: a stop that comes this early is still a stop in good order.
  if (auto blocked = block_signals(); !blocked) return blocked.error();
  Result<Instance> instance = open_instance(options.settings, options.worker_count, &options.control);
  if (!instance) return instance.error();
  std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(options), instance.take()));
  supervisor->options_.control.worker_count = supervisor->options_.worker_count;
  if (auto opened = supervisor->open_signals(); !opened) return opened.error();
  supervisor->control_.title = "control";
  supervisor->workers_.resize(supervisor->options_.worker_count);
  for (uint32_t i = 0; i < supervisor->workers_.size(); i++)
    supervisor->workers_[i].title = "worker " + std::to_string(i);
  return supervisor;
}

Result<void> Supervisor::open_signals() {
  const sigset_t set = watched_signals();
  signals_ = Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.is_open()) return base::io_error("signals");
  return {};
}

int Supervisor::run() {
  base::set_log_role("supervisor");
  while (true) {
    base::SteadyTime now = Clock::steady_now();
    start_due(now);
    if (stopping_ != Stopping::kNo) continue_stop(now);
    if (stopping_ != Stopping::kNo && !has_workers() && control_.pid == 0) break;
    pollfd watched[2] = {{signals_.get(), POLLIN, 0}, {control_.channel.get(), POLLIN, 0}};
    if (::poll(watched, 2, poll_timeout_ms(now)) < 0 && errno != EINTR) {
      MG_LOG(kEmerg) << base::io_error("poll").detail;
      return 1;
    }
    if ((watched[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) on_control_messages();
    on_signals();
    check_heartbeats(Clock::steady_now());
  }
  remove_socket_files(instance_, options_.control);
  MG_LOG(kNotice) << "stopped";
  return exit_status_;
}

void Supervisor::start_due(base::SteadyTime now) {
  if (stopping_ != Stopping::kNo) return;
  if (control_.pid == 0 && control_.due_at <= now) {
    if (auto started = start_control(); !started) {
      MG_LOG(kCrit) << "control cannot be started: " << started.error().detail;
      control_.due_at = now + Backoff::kDelayMax;
    }
  }
  for (uint32_t i = 0; i < workers_.size(); i++) {
    if (workers_[i].pid != 0 || workers_[i].due_at > now) continue;
    if (auto started = start_worker(i); !started) {
      MG_LOG(kCrit) << workers_[i].title << " cannot be started: " << started.error().detail;
      workers_[i].due_at = now + Backoff::kDelayMax;
    }
  }
}

void Supervisor::note_start(Child& child, int pid) {
  child.pid = pid;
  child.started_at = Clock::steady_now();
  child.watchdog.start(child.started_at);
  child.was_killed_by_watchdog = false;
}

/// In the child, so that nothing it writes to its slot is overwritten.
void Supervisor::claim_slot(uint32_t slot) {
  Clock::refresh();
  instance_.memory.processes->slot(slot).start(::getpid(), Clock::wall());
}

Result<void> Supervisor::start_control() {
  Result<snapshot::ChannelPair> pair = snapshot::make_channel();
  if (!pair) return pair.error();
  control::ControlStart start = options_.control;
  start.is_restart = control_.started_at != base::SteadyTime{};
  Result<int> pid = fork_child("control", [&] {
    start.first_snapshot_fd = options_.first_snapshot.release();
    start.command_fd = instance_.command_socket.release();
    start.metrics_fd = instance_.metrics_socket.release();
    start.admin_fd = instance_.admin_socket.release();
    start.control_api_fd = instance_.control_api_socket.release();
    start.supervisor_fd = pair->second.release();
    pair->first.reset();
    close_in_child();
    claim_slot(shm::kControlSlot);
    return options_.control_main(start);
  });
  if (!pid) return pid.error();
  control_.channel = std::move(pair->first);
  note_start(control_, *pid);
  for (uint32_t i = 0; i < workers_.size(); i++) {
    if (workers_[i].pid != 0) announce_worker(i);
  }
  return {};
}

Result<void> Supervisor::start_worker(uint32_t index) {
  Result<snapshot::ChannelPair> pair = snapshot::make_channel();
  if (!pair) return pair.error();
  Child& child = workers_[index];
  Clock::refresh();
  tls::TicketKeys::of_process().advance(Clock::wall());  // a new worker must not know keys that are over
  Result<int> pid = fork_child(child.title, [&] {
    worker::WorkerStart start = make_worker_start(instance_, options_.control, index, pair->second.release());
    start.beat_period = shm::ProcessTable::beat_period(options_.watchdog_limit);
    pair->first.reset();
    close_in_child();
    claim_slot(index);
    return options_.worker_main(start);
  });
  if (!pid) return pid.error();
  child.channel = std::move(pair->first);
  note_start(child, *pid);
  announce_worker(index);
  return {};
}

/// Everything that is the supervisor's or a sibling's. A socket left open in a worker would keep receiving
/// connections that nobody accepts.
void Supervisor::close_in_child() {
  instance_.listeners.close();
  instance_.command_socket.reset();
  instance_.metrics_socket.reset();
  instance_.admin_socket.reset();
  instance_.control_api_socket.reset();
  options_.first_snapshot.reset();
  signals_.reset();
  control_.channel.reset();
  for (Child& sibling : workers_) sibling.channel.reset();
  if (options_.ready_fd >= 0) ::close(options_.ready_fd);
  if (options_.on_fork) options_.on_fork();
}

void Supervisor::announce_worker(uint32_t index) {
  const Child& child = workers_[index];
  Message message;
  message.type = MessageType::kWorkerStarted;
  message.worker = index;
  message.pid = child.pid;
  message.number = child.restarts;
  message.text = child.last_end;
  message.descriptor = Descriptor(::dup(child.channel.get()));
  tell_control(message);
}

/// A control process that cannot be told what happens would act on what is no longer true: better a fresh
/// one.
void Supervisor::tell_control(const Message& message) {
  if (control_.pid == 0) return;
  const Result<void> sent = snapshot::send_message(control_.channel.get(), message);
  if (sent || sent.error().kind == base::ErrorKind::kClosed) return;
  MG_LOG(kError) << "control does not read its channel and is started anew: " << sent.error().detail;
  ::kill(control_.pid, SIGKILL);
}

void Supervisor::on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    switch (info.ssi_signo) {
      case SIGTERM:
      case SIGINT:
        begin_stop(Stopping::kAtOnce);
        break;
      case SIGQUIT:
        begin_stop(Stopping::kDraining);
        break;
      case SIGUSR1:
        reopen_logs();
        break;
      case SIGHUP: {
        Message message;
        message.type = MessageType::kReload;
        tell_control(message);
        break;
      }
      default:
        bury();
        break;
    }
  }
}

void Supervisor::bury() {
  int status = 0;
  int pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == control_.pid) on_death(control_, shm::kControlSlot, status);
    for (uint32_t i = 0; i < workers_.size(); i++) {
      if (pid == workers_[i].pid) on_death(workers_[i], i, status);
    }
  }
}

void Supervisor::on_death(Child& child, uint32_t slot, int wait_status) {
  child.last_end = explain_death(child, slot, wait_status);
  child.pid = 0;
  child.channel.reset();
  instance_.memory.processes->slot(slot).finish();
  if (stopping_ != Stopping::kNo) {
    MG_LOG(kInfo) << child.title << " " << child.last_end;
    return;
  }
  const base::SteadyTime now = Clock::steady_now();
  const base::Duration delay = child.backoff.on_death(child.started_at, now);
  child.due_at = now + delay;
  child.restarts++;
  instance_.memory.processes->slot(slot).restart_count.fetch_add(1);
  const auto delay_ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  MG_LOG(kError) << child.title << " " << child.last_end << "; it is started again "
                 << (delay_ms == 0 ? "now" : "in " + std::to_string(delay_ms) + " ms");
  if (&child == &control_) return;
  Message message;
  message.type = MessageType::kWorkerGone;
  message.worker = slot;
  message.text = child.last_end;
  tell_control(message);
}

std::string Supervisor::explain_death(const Child& child, uint32_t slot, int wait_status) const {
  const shm::ProcessTable& table = *instance_.memory.processes;
  const std::string_view plugin = table.plugin_name(table.slot(slot).running_plugin.load());
  const std::string where = plugin.empty() ? "" : " while plugin `" + std::string(plugin) + "` was running";
  if (child.was_killed_by_watchdog) {
    const auto limit_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.watchdog_limit).count();
    return "was killed because it stood still for " + std::to_string(limit_ms) + " ms" + where;
  }
  return "(pid " + std::to_string(child.pid) + ") " + describe_end(wait_status) + where;
}

void Supervisor::on_control_messages() {
  while (control_.channel.is_open()) {
    Result<std::optional<Message>> message = snapshot::receive_message(control_.channel.get());
    if (!message) {
      control_.channel.reset();  // its death follows as SIGCHLD
      return;
    }
    if (!message->has_value()) return;
    on_control_message(**message);
  }
}

void Supervisor::on_control_message(const Message& message) {
  switch (message.type) {
    case MessageType::kServing:
      report_ready();
      break;
    case MessageType::kStop:
      begin_stop(message.number != 0 ? Stopping::kAtOnce : Stopping::kDraining);
      break;
    case MessageType::kReopenAllLogs:
      reopen_logs();
      break;
    case MessageType::kStartFailed:
      MG_LOG(kEmerg) << "no worker can serve: " << message.text;
      exit_status_ = 1;
      begin_stop(Stopping::kAtOnce);
      break;
    default:
      MG_LOG(kError) << "control sent a message that is not for the supervisor";
      break;
  }
}

void Supervisor::report_ready() {
  if (options_.ready_fd < 0) return;
  const ssize_t written = ::write(options_.ready_fd, "+", 1);
  if (written != 1) MG_LOG(kWarn) << "nobody waits any more for the start to be done";
  ::close(options_.ready_fd);
  options_.ready_fd = -1;
}

void Supervisor::check_heartbeats(base::SteadyTime now) {
  for (uint32_t i = 0; i < workers_.size(); i++) {
    Child& child = workers_[i];
    if (child.pid == 0 || child.was_killed_by_watchdog) continue;
    const shm::ProcessSlot& slot = instance_.memory.processes->slot(i);
    const bool is_starting = slot.state.load() == shm::ProcessState::kStarting;
    const base::Duration limit =
        is_starting ? std::max(options_.watchdog_limit, kStartingLimit) : options_.watchdog_limit;
    if (!child.watchdog.is_hung(slot.heartbeat.load(), now, limit)) continue;
    child.was_killed_by_watchdog = true;
    ::kill(child.pid, SIGKILL);
  }
}

void Supervisor::reopen_logs() {
  if (auto opened = base::reopen_log(); !opened) MG_LOG(kError) << opened.error().detail;
  Message message;
  message.type = MessageType::kReopenLogs;
  tell_control(message);
  for (const Child& child : workers_) {
    if (child.pid != 0) ::kill(child.pid, SIGUSR1);
  }
}

int Supervisor::poll_timeout_ms(base::SteadyTime now) const {
  base::SteadyTime next = now + shm::ProcessTable::beat_period(options_.watchdog_limit);
  if (stopping_ != Stopping::kNo) next = std::min(next, stop_deadline_);
  if (stopping_ == Stopping::kNo) {
    if (control_.pid == 0) next = std::min(next, control_.due_at);
    for (const Child& child : workers_) {
      if (child.pid == 0) next = std::min(next, child.due_at);
    }
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

}  // namespace moongate::supervisor
