// SPDX-License-Identifier: Apache-2.0
#include "supervisor/backoff.h"

#include <catch2/catch.hpp>

using namespace moongate::supervisor;
using namespace std::chrono_literals;
using moongate::base::SteadyTime;

namespace {

int64_t delay_ms(Backoff& backoff, std::chrono::milliseconds life) {
  const SteadyTime start{};
  return std::chrono::duration_cast<std::chrono::milliseconds>(backoff.on_death(start, start + life)).count();
}

}  // namespace

TEST_CASE("the first short life costs nothing, further ones 50 ms doubling to 5 s") {
  Backoff backoff;
  const int64_t expected[] = {0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
  for (const int64_t delay : expected) REQUIRE(delay_ms(backoff, 10ms) == delay);
}

TEST_CASE("a life of a second is started again at once and clears the history") {
  Backoff backoff;
  for (int i = 0; i < 5; i++) (void)delay_ms(backoff, 10ms);
  REQUIRE(delay_ms(backoff, 1000ms) == 0);
  REQUIRE(delay_ms(backoff, 10ms) == 0);
  REQUIRE(delay_ms(backoff, 10ms) == 50);
}

TEST_CASE("the delay stays at its limit however often the process dies") {
  Backoff backoff;
  for (int i = 0; i < 1000; i++) (void)delay_ms(backoff, 0ms);
  REQUIRE(delay_ms(backoff, 999ms) == 5000);
}
