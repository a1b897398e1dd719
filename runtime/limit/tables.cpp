// SPDX-License-Identifier: Apache-2.0
#include "limit/tables.h"

#include <string>

namespace moongate::limit {

base::Result<Tables> Tables::make(shm::Segment& segment, size_t size_bytes) {
  if (size_bytes < kSizeBytesMin) {
    return base::invalid("shared_memory.limiter_mb: " + std::to_string(size_bytes) +
                         " bytes are too few; at least 0.5 MB is needed");
  }
  size_t window_bytes = size_bytes / 4 / 64 * 64;
  size_t rate_bytes = size_bytes - window_bytes;
  void* rate = segment.area("limit.rate", rate_bytes);
  void* window = segment.area("limit.window", window_bytes);
  if (rate == nullptr || window == nullptr) {
    return base::invalid("shared memory: no room for the limiters' " + std::to_string(size_bytes) + " bytes");
  }
  return Tables{RateTable(rate, rate_bytes), WindowTable(window, window_bytes, base::Clock::steady_now())};
}

}  // namespace moongate::limit
