// SPDX-License-Identifier: Apache-2.0
#include "supervisor/shared_memory.h"

namespace moongate::supervisor {

base::Result<SharedMemory> make_shared_memory(const config::Settings&) {
  base::Result<shm::Segment> segment = shm::Segment::make(shm::ProcessTable::size_bytes() + 4096);
  if (!segment) return segment.error();
  void* processes = segment->area("processes", shm::ProcessTable::size_bytes(), alignof(shm::ProcessSlot));
  MG_ASSERT(processes != nullptr);
  return SharedMemory{segment.take(), shm::ProcessTable::make(processes)};
}

}  // namespace moongate::supervisor
