// SPDX-License-Identifier: Apache-2.0
#include "shm/quarantine_board.h"

#include <catch2/catch.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "shm/process_table.h"

using namespace moongate::shm;
using namespace std::chrono_literals;

TEST_CASE("the strike that reaches the limit makes the verdict, once") {
  auto board = std::make_unique<QuarantineBoard>();
  uint32_t before = board->changes();
  REQUIRE_FALSE(board->strike(7, 1, 3));
  REQUIRE_FALSE(board->strike(7, 1, 3));
  REQUIRE_FALSE(board->is_quarantined(7));
  REQUIRE(board->changes() == before);
  REQUIRE(board->strike(7, 1, 3));
  REQUIRE(board->is_quarantined(7));
  REQUIRE(board->changes() != before);
  REQUIRE_FALSE(board->strike(7, 1, 3));
  REQUIRE_FALSE(board->is_quarantined(8));
}

TEST_CASE("strikes of other code or confs do not add up") {
  auto board = std::make_unique<QuarantineBoard>();
  REQUIRE_FALSE(board->strike(7, 1, 2));
  REQUIRE_FALSE(board->strike(7, 2, 2));
  REQUIRE_FALSE(board->strike(7, 1, 2));
  REQUIRE(board->strike(7, 1, 2));
}

TEST_CASE("only another print or a limit not reached ends a quarantine") {
  auto board = std::make_unique<QuarantineBoard>();
  REQUIRE(board->strike(7, 1, 1));
  uint32_t before = board->changes();
  REQUIRE_FALSE(board->keep_only(7, 1, 1));
  REQUIRE(board->is_quarantined(7));
  REQUIRE(board->changes() == before);
  SECTION("another print") { REQUIRE(board->keep_only(7, 2, 1)); }
  SECTION("a higher limit") { REQUIRE(board->keep_only(7, 1, 2)); }
  SECTION("no limit") { REQUIRE(board->keep_only(7, 1, 0)); }
  REQUIRE_FALSE(board->is_quarantined(7));
  REQUIRE_FALSE(board->has_entry(7));
  REQUIRE(board->changes() != before);
}

TEST_CASE("no limit, number 0 and numbers beyond the board are never in quarantine") {
  auto board = std::make_unique<QuarantineBoard>();
  REQUIRE_FALSE(board->strike(7, 1, 0));
  REQUIRE_FALSE(board->strike(0, 1, 1));
  REQUIRE_FALSE(board->strike(ProcessTable::kNamesMax - 1, 1, 1));
  REQUIRE_FALSE(board->strike(1 << 20, 1, 1));
  for (uint32_t number : {7U, 0U, ProcessTable::kNamesMax - 1, 1U << 20})
    REQUIRE_FALSE(board->is_quarantined(number));
}

TEST_CASE("strikes from many sides are all counted and one of them makes the verdict") {
  auto board = std::make_unique<QuarantineBoard>();
  std::atomic<int> verdicts{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; n++) verdicts += board->strike(7, 1, 4000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(verdicts == 1);
  REQUIRE(board->is_quarantined(7));
}

TEST_CASE("beats come often enough for any limit and never oftener than 40 times a second") {
  REQUIRE(ProcessTable::beat_period(200ms) == 25ms);
  REQUIRE(ProcessTable::beat_period(1ms) == 25ms);
  REQUIRE(ProcessTable::beat_period(800ms) == 100ms);
  REQUIRE(ProcessTable::beat_period(2s) == 250ms);
  REQUIRE(ProcessTable::beat_period(60s) == 250ms);
}
