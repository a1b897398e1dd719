// SPDX-License-Identifier: Apache-2.0
// Calendar times as control keeps and shows them: milliseconds since 1970.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>

#include "base/clock.h"

namespace moongate::control {

inline uint64_t to_ms(base::WallTime time) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}
inline uint64_t wall_ms() { return to_ms(base::Clock::wall()); }

/// 2026-01-31T12:00:00.000Z
inline std::string time_text(uint64_t ms) {
  const auto seconds = static_cast<time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string fraction = std::to_string(1000 + ms % 1000).substr(1);
  return std::string(text, size) + "." + fraction + "Z";
}

}  // namespace moongate::control
