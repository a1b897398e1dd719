// SPDX-License-Identifier: Apache-2.0
// What plugin prometheus has counted of a request, as bits of Exchange::traffic; lua/plugins/prometheus.lua
// has the same. 0: nothing.
#pragma once

#include <cstdint>

namespace moongate::exchange::traffic {

inline constexpr uint32_t kStatus = 1;
inline constexpr uint32_t kLatency = 2;
inline constexpr uint32_t kBandwidth = 4;
inline constexpr uint32_t kPreferName = 8;
inline constexpr uint32_t kConsumer = 16;
inline constexpr uint32_t kDecided = 32;     // the plugin is there, though it may want nothing
inline constexpr uint32_t kOverGlobal = 64;  // of a route, a service or a consumer, not of a global rule

inline constexpr uint32_t kAny = kStatus | kLatency | kBandwidth;

/// What is counted when `next` is asked for after `now`: the narrower scope decides. A `next` without bits is
/// nobody's.
inline uint32_t choose(uint32_t now, uint32_t next) {
  return next == 0 || ((now & kOverGlobal) != 0 && (next & kOverGlobal) == 0) ? now : next;
}

}  // namespace moongate::exchange::traffic
