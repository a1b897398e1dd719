// SPDX-License-Identifier: Apache-2.0
#include "limit/window_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "shm/segment.h"

using namespace moongate;
using namespace moongate::limit;

namespace {

constexpr double kYear = 365.25 * 86400;

base::SteadyTime at(double seconds) {
  return base::SteadyTime(base::Duration(1234567 + std::llround(seconds * 1e9)));
}

struct Fixture {
  explicit Fixture(size_t size = 1 << 20)
      : segment(shm::Segment::make(size + 4096).take()), table(segment.area("window", size), size, at(0)) {}

  bool is_admitted(std::string_view key, const Window& window, double seconds, double cost = 1) {
    REQUIRE(table.take(key, window, cost, at(seconds), verdict) == Outcome::kDecided);
    return verdict.is_admitted;
  }
  int count_admitted(std::string_view key, const Window& window, double seconds, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += is_admitted(key, window, seconds);
    return count;
  }

  shm::Segment segment;
  WindowTable table;
  Verdict verdict;
};

}  // namespace

TEST_CASE("a window admits exactly its count and begins with the first request") {
  Fixture f;
  const Window window{3, 10};
  REQUIRE(f.count_admitted("k", window, 5, 2) == 2);
  REQUIRE(f.count_admitted("k", window, 14.9, 5) == 1);
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE(f.verdict.retry_after_s == Approx(0.1));
  REQUIRE(f.verdict.reset_s == Approx(0.1));
  REQUIRE(f.count_admitted("k", window, 15, 5) == 3);
}

TEST_CASE("the verdict counts down, and a refused request takes nothing") {
  Fixture f;
  const Window window{5, 60};
  REQUIRE(f.is_admitted("k", window, 0));
  REQUIRE(f.verdict.remaining == 4);
  REQUIRE(f.verdict.reset_s == Approx(60));
  REQUIRE(f.verdict.retry_after_s == 0);
  REQUIRE_FALSE(f.is_admitted("k", window, 1, 5));
  REQUIRE(f.verdict.remaining == 4);
  REQUIRE(f.is_admitted("k", window, 1, 4));
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE_FALSE(f.is_admitted("k", window, 2));
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE(f.is_admitted("k", window, 2, 0));
  REQUIRE(f.verdict.remaining == 0);
}

TEST_CASE("asking with cost 0 opens no window") {
  Fixture f;
  REQUIRE(f.is_admitted("k", Window{2, 10}, 0, 0));
  REQUIRE(f.verdict.remaining == 2);
  REQUIRE(f.table.count_live(at(0)) == 0);
}

TEST_CASE("windows may last ten years or a fraction of a second") {
  Fixture f;
  const double length = GENERATE(0.001, 0.1, 0.25, 1.0, 3600.0, 10 * kYear);
  const Window window{2, length};
  REQUIRE(f.count_admitted("k", window, 1, 5) == 2);
  REQUIRE(f.count_admitted("k", window, 1 + length * 0.99, 5) == 0);
  REQUIRE(f.count_admitted("k", window, 1 + length, 5) == 2);
}

TEST_CASE("counts beyond 16 and 32 bits are kept") {
  Fixture f;
  const Window window{3e10, 100};
  REQUIRE(f.is_admitted("k", window, 0, 65535));
  REQUIRE(f.is_admitted("k", window, 0, 1));
  REQUIRE(f.verdict.remaining == 3e10 - 65536);
  REQUIRE(f.is_admitted("k", window, 0, 2e10));
  REQUIRE(f.verdict.remaining == 1e10 - 65536);
  REQUIRE_FALSE(f.is_admitted("k", window, 0, 1e10));
  REQUIRE(f.is_admitted("k", window, 0, 1e10 - 65536));
  REQUIRE(f.verdict.remaining == 0);
}

TEST_CASE("a changed count holds at once and a changed length from the next window on") {
  Fixture f;
  REQUIRE(f.count_admitted("k", Window{5, 10}, 0, 4) == 4);
  REQUIRE_FALSE(f.is_admitted("k", Window{3, 10}, 1));
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE(f.count_admitted("k", Window{6, 1}, 5, 5) == 2);
  REQUIRE(f.count_admitted("k", Window{6, 1}, 10, 9) == 6);
  REQUIRE(f.count_admitted("k", Window{6, 1}, 11, 9) == 6);
}

TEST_CASE("numbers that make no sense refuse or count as nothing") {
  Fixture f;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  REQUIRE_FALSE(f.is_admitted("a", Window{0, 10}, 0));
  REQUIRE_FALSE(f.is_admitted("a", Window{-4, 10}, 0));
  REQUIRE_FALSE(f.is_admitted("a", Window{kNan, 10}, 0));
  REQUIRE(f.is_admitted("b", Window{1, kNan}, 0));
  REQUIRE_FALSE(f.is_admitted("c", Window{1, 10}, 0, 1e300));
  REQUIRE(f.is_admitted("d", Window{2.9, 10}, 0, 0.5));
  REQUIRE(f.verdict.remaining == 1);
}

TEST_CASE("a clock that goes back opens no new window") {
  Fixture f;
  const Window window{2, 10};
  REQUIRE(f.count_admitted("k", window, 100, 5) == 2);
  REQUIRE(f.count_admitted("k", window, 50, 5) == 0);
  REQUIRE(f.count_admitted("k", window, 109, 5) == 0);
  REQUIRE(f.count_admitted("k", window, 110, 5) == 2);
}

TEST_CASE("agrees with a plain map of windows under random arrivals, with slots changing hands") {
  Fixture f(64 * 1024);
  std::mt19937 random(GENERATE(1u, 2u, 3u));
  std::map<std::string, std::pair<int, double>> plain;
  double now = 0;
  for (int i = 0; i < 50000; ++i) {
    now += static_cast<double>(random() % 16) / 1024;
    const std::string key = std::to_string(random() % 700);
    const Window window{4, 2};
    auto& [count, end] = plain[key];
    if (end <= now) {
      count = 0;
      end = now + 2;
    }
    const bool is_expected = count < 4;
    if (is_expected) ++count;
    if (f.is_admitted(key, window, now) != is_expected) FAIL("differs at request " << i);
    REQUIRE(f.verdict.remaining == 4 - count);
  }
}
