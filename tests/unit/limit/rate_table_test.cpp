// SPDX-License-Identifier: Apache-2.0
#include "limit/rate_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "limit/tables.h"

using namespace moongate;
using namespace moongate::limit;

namespace {

constexpr int64_t kSecond = 1000000000;

base::SteadyTime at(double seconds) {
  return base::SteadyTime(base::Duration(1000 * kSecond + std::llround(seconds * 1e9)));
}

struct Fixture {
  explicit Fixture(size_t size = 1 << 20)
      : segment(shm::Segment::make(size + 4096).take()), table(segment.area("rate", size), size) {}

  bool is_admitted(std::string_view key, const Rate& rate, double seconds, double cost = 1) {
    REQUIRE(table.take(key, rate, cost, at(seconds), verdict) == Outcome::kDecided);
    return verdict.is_admitted;
  }
  int count_admitted(std::string_view key, const Rate& rate, double seconds, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += is_admitted(key, rate, seconds);
    return count;
  }

  shm::Segment segment;
  RateTable table;
  Verdict verdict;
};

}  // namespace

TEST_CASE("a fresh key admits exactly its burst at once, then one each interval") {
  Fixture f;
  const double burst = GENERATE(0.0, 1.0, 5.0, 1000.0);
  const Rate rate{GENERATE(0.1, 1.0, 3.0, 7.0, 1000.0, 30000.0), burst};
  const int bucket = static_cast<int>(std::max(1.0, burst));
  REQUIRE(f.count_admitted("k", rate, 0, bucket + 10) == bucket);
  CAPTURE(rate.per_second, burst);
  // An interval is kept in whole nanoseconds, rounded up.
  const double interval = std::ceil(1e9 / rate.per_second) / 1e9;
  for (int i = 1; i <= 20; ++i) REQUIRE(f.count_admitted("k", rate, i * interval, 3) == 1);
}

TEST_CASE("a bucket left alone for its time admits its burst again and no more") {
  Fixture f;
  const Rate rate{3, 6};
  REQUIRE(f.count_admitted("k", rate, 0, 10) == 6);
  REQUIRE(f.count_admitted("k", rate, 1, 10) == 3);
  REQUIRE(f.count_admitted("k", rate, 3, 10) == 6);
  REQUIRE(f.count_admitted("k", rate, 100, 10) == 6);
}

TEST_CASE("the verdict tells what is left and how long to wait") {
  Fixture f;
  const Rate rate{2, 4};
  REQUIRE(f.is_admitted("k", rate, 0));
  REQUIRE(f.verdict.remaining == 3);
  REQUIRE(f.verdict.reset_s == Approx(0.5));
  REQUIRE(f.verdict.retry_after_s == 0);
  REQUIRE(f.is_admitted("k", rate, 0, 3));
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE_FALSE(f.is_admitted("k", rate, 0.1));
  REQUIRE(f.verdict.retry_after_s == Approx(0.4));
  REQUIRE(f.verdict.reset_s == Approx(1.9));
  REQUIRE(f.is_admitted("k", rate, 0.1, 0));
  REQUIRE(f.verdict.remaining == 0);
  REQUIRE(f.is_admitted("k", rate, 0.5));
  REQUIRE_FALSE(f.is_admitted("j", rate, 0, 5));
}

TEST_CASE("keys do not share an allowance") {
  Fixture f;
  for (int i = 0; i < 2000; ++i) REQUIRE(f.count_admitted("key-" + std::to_string(i), Rate{1, 2}, 0, 3) == 2);
  REQUIRE(f.table.count_live(at(0)) == 2000);
  REQUIRE(f.table.count_live(at(3)) == 0);
}

TEST_CASE("rates and costs that make no sense admit nothing or nothing extra") {
  Fixture f;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  REQUIRE_FALSE(f.is_admitted("a", Rate{0, 5}, 0));
  REQUIRE_FALSE(f.is_admitted("a", Rate{-1, 5}, 0));
  REQUIRE_FALSE(f.is_admitted("a", Rate{kNan, 5}, 0));
  REQUIRE_FALSE(f.is_admitted("a", Rate{1, kNan}, 0));
  REQUIRE(f.is_admitted("b", Rate{1, 1}, 0, -5));
  REQUIRE(f.verdict.remaining == 1);
  REQUIRE(f.count_admitted("c", Rate{1e-12, 1e12}, 0, 5) == 1);
  REQUIRE(f.count_admitted("d", Rate{kInfinity, 1}, 0, 1) == 1);
  REQUIRE_FALSE(f.is_admitted("e", Rate{1, 5}, 0, kInfinity));
  REQUIRE(f.count_admitted("f", Rate{1, kInfinity}, 0, 10) == 10);
}

TEST_CASE("random arrivals never get more than burst and rate times time, in any stretch") {
  const unsigned seed = GENERATE(range(0u, 40u));
  std::mt19937_64 random(seed);
  Fixture f;
  const double choices[] = {0.5, 1, 2, 3, 10, 33, 100, 977, 10000};
  const Rate rate{choices[random() % 9], static_cast<double>(random() % 20)};
  const double bucket = std::max(1.0, rate.burst);
  const int64_t interval_ns = static_cast<int64_t>(1e9 / rate.per_second);
  int64_t now_ns = 5 * kSecond;
  std::vector<int64_t> admitted;
  std::vector<double> costs;
  for (int i = 0; i < 3000; ++i) {
    now_ns +=
        static_cast<int64_t>(random() % static_cast<uint64_t>(interval_ns * (i / 500 % 2 == 0 ? 1 : 4) / 2));
    const double cost = random() % 4 == 0 ? 1.0 + static_cast<double>(random() % 3) : 1.0;
    REQUIRE(f.table.take("k", rate, cost, base::SteadyTime(base::Duration(now_ns)), f.verdict) ==
            Outcome::kDecided);
    if (!f.verdict.is_admitted) continue;
    admitted.push_back(now_ns);
    costs.push_back(cost);
  }
  REQUIRE(admitted.size() > 100);
  for (size_t first = 0; first < admitted.size(); first += 7) {
    double sum = 0;
    for (size_t last = first; last < admitted.size(); ++last) {
      sum += costs[last];
      const double stretch_s = static_cast<double>(admitted[last] - admitted[first]) / 1e9;
      // A rate that does not divide a nanosecond's billion may come early by the rounding of one bucket.
      if (sum > bucket + rate.per_second * (stretch_s + (bucket + 2) * 1e-9) + 1e-9)
        FAIL("admitted too much");
    }
  }
}

TEST_CASE("a clock that goes back gives nothing away") {
  Fixture f;
  const Rate rate{1, 5};
  REQUIRE(f.count_admitted("k", rate, 100, 10) == 5);
  REQUIRE(f.count_admitted("k", rate, 0, 10) == 0);
  REQUIRE(f.count_admitted("k", rate, 100, 10) == 0);
  REQUIRE(f.count_admitted("k", rate, 101, 10) == 1);
}

TEST_CASE("a full table refuses new keys, keeps old ones to their limit, and frees itself with time") {
  Fixture f(RateTable::kSizeBytesMin);
  const Rate rate{0.1, 2};
  std::vector<std::string> admitted;
  int full = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string key = "key-" + std::to_string(i);
    if (f.table.take(key, rate, 1, at(0), f.verdict) == Outcome::kTableFull) {
      ++full;
    } else {
      admitted.push_back(key);
    }
  }
  REQUIRE(full > 1000);
  REQUIRE(admitted.size() <= f.table.slot_count());
  for (const std::string& key : admitted) REQUIRE(f.count_admitted(key, rate, 1, 3) == 1);
  for (int i = 0; i < 50; ++i) REQUIRE(f.count_admitted("new-" + std::to_string(i), rate, 30, 3) == 2);
}

TEST_CASE("a slot taken over by another key never lends it the old key's allowance") {
  Fixture f(RateTable::kSizeBytesMin);
  std::mt19937 random(3);
  // Short lives and few slots: slots change hands all the time.
  for (int i = 0; i < 20000; ++i) {
    const std::string key = "key-" + std::to_string(i);
    REQUIRE(f.count_admitted(key, Rate{100, 3}, i * 0.1, 5) == 3);
  }
}

TEST_CASE("tables are laid out in a segment, and too little memory is an error") {
  shm::Segment segment = shm::Segment::make(2 << 20).take();
  REQUIRE_FALSE(Tables::make(segment, 1000).ok());
  auto tables = Tables::make(segment, 1 << 20);
  REQUIRE(tables.ok());
  REQUIRE(tables->rate.slot_count() > 40000);
  REQUIRE(tables->window.slot_count() > 16000);
  REQUIRE_FALSE(Tables::make(segment, 1 << 20).ok());
}
