// SPDX-License-Identifier: Apache-2.0
// What a worker is given when it begins. Settings, routes and plugins are not here: they come in its first
// snapshot, over the control channel, and until then it accepts nothing.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/settings.h"
#include "limit/tables.h"
#include "metrics/registry.h"
#include "net/event_loop.h"
#include "shm/health_board.h"
#include "shm/process_table.h"
#include "shm/shared_dict.h"

namespace moongate::worker {

struct ListenSocket {
  int fd = -1;                      // listening and non-blocking; the worker's own, except for unix sockets
  config::ListenSettings settings;  // `address` as it was bound, so never port 0
  int datagram_fd = -1;             // where HTTP/3 is spoken: bound to the same address, the worker's own
  std::array<uint8_t, 32> quic_secret{};  // the same for all workers of the instance
};

struct WorkerStart {
  int index = 0;
  int count = 1;  // 1 also when a single process does everything
  std::vector<ListenSocket> listeners;
  int control_fd = -1;  // snapshot/channel.h: the worker begins with kHello
  // In shared memory, made before the fork.
  shm::ProcessTable* processes = nullptr;
  const limit::Tables* limits = nullptr;
  std::vector<shm::SharedDict>* dicts = nullptr;
  const metrics::Registry* metrics = nullptr;
  shm::HealthBoard* health = nullptr;
  std::string directory;  // DIR, absolute; log paths are relative to it
  std::string lua_root;   // the folder with lib/ and plugins/
  std::string version;
  base::Duration beat_period = std::chrono::milliseconds(250);  // as the watchdog expects it
};

// Signals, in either form: SIGTERM ends at once; SIGQUIT stops accepting, lets the requests under way finish
// for at most the drain timeout, then ends; SIGUSR1 opens the logs again. The supervisor blocks nothing and
// ignores SIGPIPE, SIGHUP and SIGINT before it calls.

/// Serves in a process of its own until told to end; the exit status of the process.
int run(const WorkerStart& start);

/// The same on a loop that control shares (`workers: 0`). The worker lives as long as what is returned; it
/// stops the loop when it has ended. Control handles SIGHUP and SIGUSR1 on the same loop for itself.
base::Result<std::shared_ptr<void>> start_on(net::EventLoop& loop, const WorkerStart& start);

}  // namespace moongate::worker
