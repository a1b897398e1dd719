// SPDX-License-Identifier: Apache-2.0
// What the control process is given when it begins.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/validator.h"
#include "metrics/registry.h"
#include "net/event_loop.h"
#include "shm/health_board.h"
#include "shm/process_table.h"

namespace moongate::control {

struct ControlStart {
  std::string version;
  std::string directory;                  // DIR, absolute
  std::vector<std::string> config_paths;  // of -c, in their order
  std::string lua_root;
  ValidatorFactory make_validator;
  uint32_t worker_count = 0;
  std::vector<std::string> addresses;  // where clients connect, for `status`
  std::string metrics_address;
  std::string admin_address;
  std::string control_api_address;
  /// Not empty: the configuration could not be used at the start, and the last good snapshot serves. Says
  /// what is wrong with it.
  std::string start_error;
  /// LoadNotes of the load that made the first snapshot; empty when it could not be used.
  std::string load_notes;
  base::WallTime started_at{};
  bool is_restart = false;  // the control process before this one died

  // Descriptors; -1 where there is none.
  int first_snapshot_fd = -1;  // sealed memfd
  int command_fd = -1;         // listening, DIR/control.sock
  int metrics_fd = -1;         // listening
  int admin_fd = -1;           // listening
  int control_api_fd = -1;     // listening
  int supervisor_fd = -1;      // snapshot/channel.h; -1: a single process
  int worker_fd = -1;          // in a single process: the channel to its only worker
  int ready_fd = -1;           // in a single process: gets one byte when the worker serves

  const metrics::Registry* metrics = nullptr;
  shm::ProcessTable* processes = nullptr;
  shm::HealthBoard* health = nullptr;
};

/// Runs a control process of its own until SIGTERM; its exit status.
int run(const ControlStart& start);

/// The same on a loop that the only worker shares. Lives as long as what is returned.
base::Result<std::shared_ptr<void>> start_on(net::EventLoop& loop, const ControlStart& start);

}  // namespace moongate::control
