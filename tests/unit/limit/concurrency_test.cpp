// SPDX-License-Identifier: Apache-2.0
// Several processes at the same keys, some of which are killed: the bound must hold to the last request.
#include <catch2/catch.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>

#include "limit/tables.h"

using namespace moongate;
using namespace moongate::limit;

namespace {

constexpr int kProcesses = 4;

base::SteadyTime at(int64_t nanoseconds) { return base::SteadyTime(base::Duration(nanoseconds)); }

/// What the processes agree on.
struct Shared {
  std::atomic<int> ready_count{0};
  std::atomic<bool> is_started{false};
  std::atomic<uint64_t> progress{0};
  std::atomic<int> finished_count{0};
  std::atomic<int> admitted[1024] = {};
};

struct Fixture {
  shm::Segment segment = shm::Segment::make((4 << 20) + sizeof(Shared)).take();
  Tables tables = Tables::make(segment, 1 << 20).take();
  Shared* shared = new (segment.area("shared", sizeof(Shared))) Shared();
};

/// Runs `work(process)` in several processes that begin together, and waits for all.
template <class Work>
void run_together(Shared& shared, Work work) {
  pid_t children[kProcesses];
  for (int i = 0; i < kProcesses; ++i) {
    children[i] = fork();
    if (children[i] != 0) continue;
    shared.ready_count.fetch_add(1);
    while (!shared.is_started.load()) sched_yield();
    work(i);
    _exit(0);
  }
  while (shared.ready_count.load() < kProcesses) sched_yield();
  shared.is_started = true;
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(status == 0);
  }
}

}  // namespace

TEST_CASE("four processes at one key admit exactly the bound") {
  Fixture f;
  const bool is_window = GENERATE(false, true);
  Shared& shared = *f.shared;
  run_together(shared, [&](int) {
    Verdict verdict;
    for (int i = 0; i < 20000; ++i) {
      const Outcome outcome = is_window ? f.tables.window.take("k", Window{5000, 60}, 1, at(i), verdict)
                                        : f.tables.rate.take("k", Rate{0.001, 5000}, 1, at(i), verdict);
      if (outcome != Outcome::kDecided) _exit(1);
      if (verdict.is_admitted) shared.admitted[0].fetch_add(1);
    }
  });
  REQUIRE(shared.admitted[0] == 5000);
}

TEST_CASE("processes that meet new keys at the same moment give each key one allowance") {
  Fixture f;
  const bool is_window = GENERATE(false, true);
  Shared& shared = *f.shared;
  const int64_t start_ns = base::Clock::steady_now().time_since_epoch().count();
  // The slots of the round before expire within the times of this one, so that claimers, whose clocks differ
  // a little, see different slots free: the case in which one key could get two.
  constexpr int kRounds = 20;
  constexpr int64_t kRoundNs = 1000000000;
  run_together(shared, [&](int process) {
    std::mt19937 random(static_cast<unsigned>(process));
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < 1024; ++i) {
        const std::string key = std::to_string(round) + "-" + std::to_string(i);
        const int64_t now = start_ns + (round + 1) * kRoundNs + static_cast<int64_t>(random() % 100000);
        for (int take = 0; take < 3; ++take) {
          Verdict verdict;
          const Outcome outcome = is_window ? f.tables.window.take(key, Window{2, 1}, 1, at(now), verdict)
                                            : f.tables.rate.take(key, Rate{2, 2}, 1, at(now), verdict);
          if (outcome == Outcome::kDecided && verdict.is_admitted) shared.admitted[i].fetch_add(1);
        }
      }
      shared.finished_count.fetch_add(1);
      while (shared.finished_count.load() < (round + 1) * kProcesses) sched_yield();
    }
  });
  for (const std::atomic<int>& count : shared.admitted) {
    if (count != 2 * kRounds) FAIL("admitted " << count << " in place of " << 2 * kRounds);
  }
  SUCCEED();
}

TEST_CASE("200 killed processes leave every key with at most its allowance and no slot lost") {
  Fixture f;
  Shared& shared = *f.shared;
  constexpr int kKeys = 1024;
  constexpr int kLimit = 50;
  unsigned seed = 1;
  const auto start = [&] {
    const pid_t child = fork();
    if (child != 0) return child;
    std::mt19937 random(seed);
    for (;;) {
      const unsigned i = random() % kKeys;
      Verdict rate;
      Verdict window;
      const std::string key = std::to_string(i);
      (void)f.tables.rate.take(key, Rate{0.0001, kLimit}, 1, at(1), rate);
      (void)f.tables.window.take(key, Window{kLimit, 1000}, 1, at(1), window);
      shared.admitted[i].fetch_add((rate.is_admitted ? 1 : 0) + (window.is_admitted ? 1 : 0));
      shared.progress.fetch_add(1);
    }
  };
  pid_t children[kProcesses];
  for (pid_t& child : children) {
    child = start();
    ++seed;
  }
  std::mt19937 random(99);
  for (int i = 0; i < 200; ++i) {
    const uint64_t until = shared.progress.load() + random() % 500;
    while (shared.progress.load() < until) sched_yield();
    pid_t& child = children[i % kProcesses];
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    child = start();
    ++seed;
  }
  while (shared.progress.load() < kKeys * kLimit) sched_yield();
  for (pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = std::to_string(i);
    int left = 0;
    for (int take = 0; take < kLimit + 5; ++take) {
      Verdict rate;
      Verdict window;
      REQUIRE(f.tables.rate.take(key, Rate{0.0001, kLimit}, 1, at(2), rate) == Outcome::kDecided);
      REQUIRE(f.tables.window.take(key, Window{kLimit, 1000}, 1, at(2), window) == Outcome::kDecided);
      left += (rate.is_admitted ? 1 : 0) + (window.is_admitted ? 1 : 0);
    }
    // A killed process may have taken without counting: less than the limit is seen then, never more.
    if (left + shared.admitted[i] > 2 * kLimit) FAIL("key " << i << " had more than its allowance");
  }
  REQUIRE(f.tables.rate.count_live(at(2)) <= kKeys);
  REQUIRE(f.tables.window.count_live(at(2)) <= kKeys);
  const int64_t long_after = base::Clock::steady_now().time_since_epoch().count() + 40 * 86400 * 1000000000LL;
  REQUIRE(f.tables.rate.count_live(at(long_after)) == 0);
  REQUIRE(f.tables.window.count_live(at(long_after)) == 0);
}
