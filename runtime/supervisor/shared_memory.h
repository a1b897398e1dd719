// SPDX-License-Identifier: Apache-2.0
// Lays out the memory that all processes share, before the first fork. Its areas:
//
//   processes   shm::ProcessTable
#pragma once

#include "base/result.h"
#include "config/settings.h"
#include "shm/process_table.h"
#include "shm/segment.h"

namespace moongate::supervisor {

struct SharedMemory {
  shm::Segment segment;
  shm::ProcessTable* processes;
};

base::Result<SharedMemory> make_shared_memory(const config::Settings& settings);

}  // namespace moongate::supervisor
