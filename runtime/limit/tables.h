// SPDX-License-Identifier: Apache-2.0
// The limiters of one instance: made by the supervisor in its segment, used by every process it forks.
#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "limit/rate_table.h"
#include "limit/window_table.h"
#include "shm/segment.h"

namespace moongate::limit {

struct Tables {
  static constexpr size_t kSizeBytesMin = 512 * 1024;

  RateTable rate;
  WindowTable window;

  /// Lays both out in areas of `segment`: three quarters of `size_bytes` for rates, one for windows. Needs
  /// `size_bytes` + 128 of the segment.
  static base::Result<Tables> make(shm::Segment& segment, size_t size_bytes);
};

}  // namespace moongate::limit
