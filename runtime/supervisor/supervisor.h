// SPDX-License-Identifier: Apache-2.0
// The process that owns the others. It holds what must outlive them (listening sockets, shared memory),
// starts them, buries them and says why they died. It runs no Lua, parses nothing and sees no byte of a
// client, so nothing can take it down.
//
// Its loop is a poll(2) over a signalfd and the channel to control: a dead child is seen when the kernel
// sends SIGCHLD.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/start.h"
#include "snapshot/channel.h"
#include "snapshot/descriptor.h"
#include "supervisor/backoff.h"
#include "supervisor/listeners.h"
#include "supervisor/shared_memory.h"
#include "supervisor/watchdog.h"
#include "worker/start.h"

namespace moongate::supervisor {

struct SupervisorOptions {
  uint32_t worker_count = 1;
  config::Settings settings;            // of the first snapshot; listeners and shared memory follow it
  control::ControlStart control;        // what every control process is given; descriptors are filled in here
  snapshot::Descriptor first_snapshot;  // sealed memfd
  base::Duration watchdog_limit = std::chrono::seconds(2);
  int ready_fd = -1;              // gets one byte when every worker serves; for --daemon
  std::function<void()> on_fork;  // in every child: lets go of what is the caller's
  std::function<int(const worker::WorkerStart&)> worker_main;
  std::function<int(const control::ControlStart&)> control_main;
};

/// What the instance holds as a whole, in either form of running.
struct Instance {
  Listeners listeners;
  SharedMemory memory;
  snapshot::Descriptor command_socket;
  snapshot::Descriptor metrics_socket;
  snapshot::Descriptor admin_socket;
  snapshot::Descriptor control_api_socket;
};
/// Opens sockets and memory; fills the addresses in `control`.
base::Result<Instance> open_instance(const config::Settings& settings, uint32_t worker_count,
                                     control::ControlStart* control);
/// What worker `index` is given; its sockets leave `instance`. For the process that will be the worker.
worker::WorkerStart make_worker_start(Instance& instance, const control::ControlStart& control,
                                      uint32_t index, int control_fd);
/// Removes the files of unix sockets.
void remove_socket_files(const Instance& instance, const control::ControlStart& control);

/// Starts the processes and keeps them alive.
///
/// Owner:   cli/, in the process that `moongate start` began.
/// Fails:   to start when an address is taken; afterwards only when no worker can serve any snapshot.
class Supervisor {
 public:
  static base::Result<std::unique_ptr<Supervisor>> make(SupervisorOptions options);
  /// Until the instance ends; the exit status.
  int run();

 private:
  struct Child {
    std::string title;
    int pid = 0;                   // 0: not running
    snapshot::Descriptor channel;  // workers: control's end, kept for the next control; control: our end
    Backoff backoff;
    Watchdog watchdog;
    base::SteadyTime started_at{};
    base::SteadyTime due_at{};  // when it is started again
    uint32_t restarts = 0;
    std::string last_end;
    bool was_killed_by_watchdog = false;
  };
  enum class Stopping : uint8_t { kNo, kDraining, kAtOnce };

  Supervisor(SupervisorOptions options, Instance instance)
      : options_(std::move(options)), instance_(std::move(instance)) {}
  base::Result<void> open_signals();
  void start_due(base::SteadyTime now);
  base::Result<void> start_control();
  base::Result<void> start_worker(uint32_t index);
  void note_start(Child& child, int pid);
  void claim_slot(uint32_t slot);
  void close_in_child();
  void announce_worker(uint32_t index);
  void tell_control(const snapshot::Message& message);

  void on_signals();
  void bury();
  void on_death(Child& child, uint32_t slot, int wait_status);
  std::string explain_death(const Child& child, uint32_t slot, int wait_status) const;
  void on_control_messages();
  void on_control_message(const snapshot::Message& message);
  void report_ready();
  void check_heartbeats(base::SteadyTime now);
  void reopen_logs();

  void begin_stop(Stopping how);
  void continue_stop(base::SteadyTime now);
  bool has_workers() const;
  int poll_timeout_ms(base::SteadyTime now) const;

  SupervisorOptions options_;
  Instance instance_;
  snapshot::Descriptor signals_;
  std::vector<Child> workers_;
  Child control_;
  Stopping stopping_ = Stopping::kNo;
  base::SteadyTime stop_deadline_{};
  bool is_control_told_ = false;
  int exit_status_ = 0;
};

}  // namespace moongate::supervisor
