// SPDX-License-Identifier: Apache-2.0
// `workers: 0`: control and one worker on one loop in this process, for debuggers and valgrind. They talk
// over the same channel as ever; only nobody starts them again when they die.
#pragma once

#include "config/settings.h"
#include "control/start.h"
#include "snapshot/descriptor.h"

namespace moongate::supervisor {

struct SingleOptions {
  config::Settings settings;
  control::ControlStart control;
  snapshot::Descriptor first_snapshot;
  int ready_fd = -1;  // gets one byte when the worker serves
};

/// Runs until SIGTERM, SIGINT or SIGQUIT has been obeyed; the exit status.
int run_single_process(SingleOptions options);

}  // namespace moongate::supervisor
