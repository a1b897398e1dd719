// SPDX-License-Identifier: Apache-2.0
#include "shm/health_board.h"

#include <catch2/catch.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "shm/segment.h"

using namespace moongate;
using namespace moongate::shm;

namespace {

struct Board {
  Segment segment = Segment::make(HealthBoard::size_bytes() + 8192).take();
  HealthBoard* board = HealthBoard::make(segment.area("health", HealthBoard::size_bytes()));
  HealthBoard* operator->() const { return board; }
};

HealthReport seen(HealthEvent event, uint8_t limit, uint16_t status = 0) {
  return {{event, true, status}, limit};
}

uint64_t key_of(uint64_t number) { return HealthBoard::make_key(number * 0x9e3779b97f4a7c15u); }

/// Reports events in a row and gives the health that they lead to.
NodeHealth after(const Board& board, uint32_t slot, uint64_t key,
                 std::initializer_list<std::pair<HealthEvent, uint8_t>> events) {
  for (const auto& [event, limit] : events) board->report(slot, key, seen(event, limit));
  return board->health(slot);
}

}  // namespace

TEST_CASE("failures in a row make a node unhealthy and successes in a row bring it back") {
  using enum HealthEvent;
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  REQUIRE(board->health(slot) == NodeHealth::kHealthy);
  CHECK(after(board, slot, key, {{kHttpFailure, 3}}) == NodeHealth::kMostlyHealthy);
  CHECK(after(board, slot, key, {{kHttpFailure, 3}}) == NodeHealth::kMostlyHealthy);
  const uint32_t changes = board->changes();
  const auto verdict = board->report(slot, key, seen(kHttpFailure, 3, 503));
  CHECK(verdict.is_verdict());
  CHECK(verdict.count == 3);
  CHECK(board->changes() != changes);
  CHECK(after(board, slot, key, {{kSuccess, 2}}) == NodeHealth::kMostlyUnhealthy);
  CHECK(board->read(slot).cause->http_status == 503);
  CHECK(after(board, slot, key, {{kSuccess, 2}}) == NodeHealth::kHealthy);
  CHECK(board->read(slot).cause->event == kSuccess);
}

TEST_CASE("a success ends a row of failures and a failure one of successes") {
  using enum HealthEvent;
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  CHECK(after(board, slot, key, {{kTcpFailure, 2}, {kSuccess, 3}, {kTcpFailure, 2}}) ==
        NodeHealth::kMostlyHealthy);
  CHECK(after(board, slot, key, {{kTcpFailure, 2}}) == NodeHealth::kUnhealthy);
  CHECK(after(board, slot, key, {{kSuccess, 2}, {kTimeout, 9}, {kSuccess, 2}}) ==
        NodeHealth::kMostlyUnhealthy);
  CHECK(board->read(slot).counts == std::array<uint8_t, 4>{1, 0, 0, 0});
}

TEST_CASE("kinds of failures are counted apart") {
  using enum HealthEvent;
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  CHECK(after(board, slot, key, {{kTcpFailure, 2}, {kTimeout, 2}, {kHttpFailure, 2}}) ==
        NodeHealth::kMostlyHealthy);
  CHECK(board->read(slot).counts == std::array<uint8_t, 4>{0, 1, 1, 1});
}

TEST_CASE("what has a limit of 0 and what is settled already do not count") {
  using enum HealthEvent;
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  const uint32_t changes = board->changes();
  CHECK(after(board, slot, key, {{kTimeout, 0}, {kSuccess, 1}}) == NodeHealth::kHealthy);
  CHECK(board->read(slot).counts == std::array<uint8_t, 4>{});
  CHECK(after(board, slot, key, {{kTimeout, 1}, {kTimeout, 1}, {kTcpFailure, 1}}) == NodeHealth::kUnhealthy);
  CHECK(board->read(slot).counts == std::array<uint8_t, 4>{0, 0, 0, 1});
  CHECK(board->changes() == changes + 1);
  REQUIRE(board->forget(slot, key));
  CHECK(board->health(slot) == NodeHealth::kHealthy);
  CHECK_FALSE(board->read(slot).cause.has_value());
  CHECK_FALSE(board->forget(slot, key));
}

TEST_CASE("a count does not run over") {
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  board->report(slot, key, seen(HealthEvent::kTimeout, 1));
  for (int i = 0; i < 600; i++) board->report(slot, key, seen(HealthEvent::kSuccess, 255));
  CHECK(board->read(slot).counts[0] == 255);
}

TEST_CASE("a slot that changed hands takes no reports for its former owner") {
  const Board board;
  const uint64_t former = key_of(1), next = former ^ (uint64_t{1} << 60);
  const uint32_t slot = board->claim(former);
  board->keep_only({});
  CHECK(board->find(former) == HealthBoard::kNone);
  REQUIRE(board->claim(next) == slot);
  board->report(slot, former, seen(HealthEvent::kTcpFailure, 1));
  CHECK(board->health(slot) == NodeHealth::kHealthy);
  CHECK_FALSE(board->forget(slot, former));
  CHECK_FALSE(board->is_of(slot, former));
}

TEST_CASE("keys that share a place are told apart, also when one of them goes") {
  const Board board;
  std::vector<uint64_t> keys;
  for (uint64_t i = 1; i <= 5; i++) keys.push_back(HealthBoard::make_key(i << 40 | 77));
  std::vector<uint32_t> slots;
  for (const uint64_t key : keys) slots.push_back(board->claim(key));
  board->report(slots[3], keys[3], seen(HealthEvent::kTcpFailure, 1));
  std::vector<uint64_t> kept{keys[0], keys[3], keys[4]};
  board->keep_only(kept);
  CHECK(board->find(keys[3]) == slots[3]);
  CHECK(board->find(keys[4]) == slots[4]);
  CHECK(board->find(keys[1]) == HealthBoard::kNone);
  CHECK(board->claim(keys[4]) == slots[4]);
  CHECK(board->claim(keys[2]) == slots[1]);
  CHECK(board->health(slots[3]) == NodeHealth::kUnhealthy);
}

TEST_CASE("the board takes as many nodes as it says, and again when they have gone") {
  const Board board;
  for (int round = 0; round < 3; round++) {
    for (uint64_t i = 0; i < HealthBoard::kNodesMax; i++)
      REQUIRE(board->claim(key_of(i + 1 + static_cast<uint64_t>(round) * 100'000)) != HealthBoard::kNone);
    CHECK(board->claim(key_of(99'999)) == HealthBoard::kNone);
    board->keep_only({});
    CHECK(board->find(key_of(1)) == HealthBoard::kNone);
  }
}

TEST_CASE("of many threads that report at once exactly one makes each verdict") {
  const Board board;
  const uint64_t key = key_of(1);
  const uint32_t slot = board->claim(key);
  for (int round = 0; round < 50; round++) {
    const HealthEvent event = round % 2 == 0 ? HealthEvent::kTcpFailure : HealthEvent::kSuccess;
    std::atomic<int> verdicts{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
      threads.emplace_back([&] {
        for (int n = 0; n < 50; n++)
          verdicts += board->report(slot, key, seen(event, 100)).is_verdict() ? 1 : 0;
      });
    }
    for (std::thread& thread : threads) thread.join();
    REQUIRE(verdicts == 1);
  }
}

TEST_CASE("processes killed while they report and claim leave a board that works") {
  const Board board;
  constexpr uint64_t kNodes = 64;
  std::mt19937 random(4711);
  std::vector<uint64_t> keys;
  for (uint64_t i = 0; i < kNodes; i++) keys.push_back(key_of(i + 1));
  std::sort(keys.begin(), keys.end());
  for (int i = 0; i < 60; i++) {
    int started[2];
    REQUIRE(::pipe(started) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      std::mt19937 own(static_cast<unsigned>(i));
      for (bool is_first = true;; is_first = false) {
        const uint64_t key = keys[own() % kNodes];
        const auto event = static_cast<HealthEvent>(own() % 4);
        board->report(board->claim(key), key, seen(event, 2));
        if (own() % 64 == 0) board->keep_only({keys.data(), kNodes / 2});
        if (is_first && ::write(started[1], "x", 1) != 1) ::_exit(1);
      }
    }
    char byte;
    REQUIRE(::read(started[0], &byte, 1) == 1);
    for (unsigned n = random() % 2000; n > 0; n--) (void)board->changes();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(started[0]);
    ::close(started[1]);
  }
  for (const uint64_t key : keys) {
    const uint32_t slot = board->claim(key);
    REQUIRE(board->find(key) == slot);
    for (int n = 0; n < 2; n++) board->report(slot, key, seen(HealthEvent::kTcpFailure, 2));
    REQUIRE(board->health(slot) == NodeHealth::kUnhealthy);
    for (int n = 0; n < 2; n++) board->report(slot, key, seen(HealthEvent::kSuccess, 2));
    REQUIRE(board->health(slot) == NodeHealth::kHealthy);
  }
  board->keep_only(keys);
  size_t found = 0;
  for (uint32_t slot = 0; slot < HealthBoard::kSlots; slot++)
    found +=
        std::any_of(keys.begin(), keys.end(), [&](uint64_t key) { return board->is_of(slot, key); }) ? 1 : 0;
  CHECK(found == kNodes);
}
