// SPDX-License-Identifier: Apache-2.0
// What the metrics page shows beside the workers' counters: who lives, how many connections there are, which
// snapshot serves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metrics/export.h"
#include "shm/process_table.h"

namespace moongate::control {

/// Names of the plugins that are in quarantine.
std::vector<std::string> quarantined_plugins(const shm::ProcessTable& processes);
/// Samples looked up in the process table.
std::vector<metrics::Sample> sample_processes(const shm::ProcessTable& processes, uint32_t worker_count,
                                              const std::string& version);

}  // namespace moongate::control
