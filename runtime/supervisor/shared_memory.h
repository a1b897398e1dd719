// SPDX-License-Identifier: Apache-2.0
// Lays out the memory that all processes share, before the first fork: the process table, counters of limits,
// shared dictionaries, metrics, how upstreams' nodes are. Every process inherits the mapping and the small
// objects that know their way in it.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "config/settings.h"
#include "limit/tables.h"
#include "metrics/registry.h"
#include "shm/health_board.h"
#include "shm/process_table.h"
#include "shm/segment.h"
#include "shm/shared_dict.h"

namespace moongate::supervisor {

struct SharedMemory {
  std::unique_ptr<shm::Segment> segment;
  shm::ProcessTable* processes = nullptr;
  shm::HealthBoard* health = nullptr;
  std::unique_ptr<limit::Tables> limits;
  std::unique_ptr<std::vector<shm::SharedDict>> dicts;
  std::unique_ptr<metrics::Registry> metrics;
};

/// Sizes come from `shared_memory` of the settings; dictionaries that APISIX's plugins expect are there
/// whether they are named or not.
base::Result<SharedMemory> make_shared_memory(const config::Settings& settings);

}  // namespace moongate::supervisor
