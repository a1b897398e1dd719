// SPDX-License-Identifier: Apache-2.0
#include "supervisor/watchdog.h"

#include <catch2/catch.hpp>

using namespace moongate::supervisor;
using namespace std::chrono_literals;
using moongate::base::SteadyTime;

TEST_CASE("a heart that beats is never hung") {
  Watchdog watchdog;
  SteadyTime now{};
  watchdog.start(now);
  for (uint64_t beat = 1; beat < 100; beat++) {
    now += 250ms;
    REQUIRE_FALSE(watchdog.is_hung(beat, now, 2s));
  }
}

TEST_CASE("a heart that has stood still for the limit is hung") {
  Watchdog watchdog;
  SteadyTime now{};
  watchdog.start(now);
  now += 250ms;
  REQUIRE_FALSE(watchdog.is_hung(1, now, 2s));
  const SteadyTime last = now;
  bool is_hung = false;
  while (!is_hung) {
    now += 250ms;
    is_hung = watchdog.is_hung(1, now, 2s);
    REQUIRE(is_hung == (now - last >= 2s));
  }
}

TEST_CASE("a process that never beats is hung after the limit") {
  Watchdog watchdog;
  SteadyTime now{};
  watchdog.start(now);
  for (int i = 0; i < 7; i++) REQUIRE_FALSE(watchdog.is_hung(0, now += 250ms, 2s));
  REQUIRE(watchdog.is_hung(0, now += 250ms, 2s));
}

TEST_CASE("when nobody looked for long, the process gets the whole limit again") {
  Watchdog watchdog;
  SteadyTime now{};
  watchdog.start(now);
  REQUIRE_FALSE(watchdog.is_hung(5, now += 250ms, 2s));
  REQUIRE_FALSE(watchdog.is_hung(5, now += 60s, 2s));
  REQUIRE_FALSE(watchdog.is_hung(5, now += 250ms, 2s));
}
