// SPDX-License-Identifier: Apache-2.0
// Who decides what plugin prometheus has counted of a request, where several confs of it apply: the narrower
// scope.
#pragma once

#include "exchange/exchange.h"

namespace moongate::exchange::traffic {

inline constexpr uint32_t kAny = kStatus | kLatency | kBandwidth;
inline constexpr uint32_t kDecided = 32;  // the plugin is there, though it may want nothing
inline constexpr uint32_t kOverGlobal =
    64;  // by a route, a service or a consumer: a global rule does not count

/// What is counted when `next` is asked for after `now`; a `next` without bits is nobody's.
inline uint32_t choose(uint32_t now, uint32_t next) {
  return next == 0 || ((now & kOverGlobal) != 0 && (next & kOverGlobal) == 0) ? now : next;
}

}  // namespace moongate::exchange::traffic
