// SPDX-License-Identifier: Apache-2.0
#include "limit/rate_table.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "base/assert.h"

namespace moongate::limit {

namespace {

constexpr double kSpanMaxNs = 2.3e18;  // 2^61: 73 years, for one interval and for a whole bucket
constexpr double kNsPerSecond = 1e9;
constexpr int kAttemptsMax = 1000;

/// The numbers of one decision, in nanoseconds.
struct Cell {
  uint64_t interval;   // what one token is worth
  uint64_t tolerance;  // how far TAT may lie ahead of now: the bucket
  uint64_t spend;      // what this request costs
};

/// Everything is rounded so that it refuses: an interval up, a bucket that would not fit down. The interval's
/// rounding is made good once per bucket (never over time), so that a bucket refilled for the right time
/// admits the right number.
Cell make_cell(const Rate& rate, double cost) {
  double exact = kNsPerSecond / rate.per_second;
  double interval = std::clamp(std::ceil(exact), 1.0, kSpanMaxNs);
  double burst = std::min(std::max(rate.burst, 1.0), kSpanMaxNs / interval);
  double rounding = std::max(0.0, interval - exact);
  double amends = rounding > 0 ? std::min(std::ceil(rounding * burst) + 1, interval / 16) : 0;
  return Cell{static_cast<uint64_t>(interval), static_cast<uint64_t>(interval * burst + amends),
              static_cast<uint64_t>(std::min(std::ceil(interval * cost), kSpanMaxNs))};
}

Verdict make_verdict(const Cell& cell, uint64_t tat, uint64_t now, bool is_admitted) {
  Verdict verdict;
  verdict.is_admitted = is_admitted;
  uint64_t ahead = tat > now ? tat - now : 0;
  if (ahead < cell.tolerance)
    verdict.remaining = static_cast<double>((cell.tolerance - ahead) / cell.interval);
  verdict.reset_s = static_cast<double>(ahead) / kNsPerSecond;
  if (!is_admitted)
    verdict.retry_after_s = static_cast<double>(ahead + cell.spend - cell.tolerance) / kNsPerSecond;
  return verdict;
}

/// A rate of nothing, or of no number at all, admits nothing.
bool is_usable(const Rate& rate) { return rate.per_second > 0 && !std::isnan(rate.burst); }

}  // namespace

struct alignas(64) RateTable::Header {
  shm::HashSeed seed;
  uint64_t claim_counter = 0;
};

RateTable::RateTable(void* memory, size_t size_bytes) {
  MG_ASSERT(size_bytes >= kSizeBytesMin);
  header_ = new (memory) Header{shm::make_hash_seed(), 0};
  slots_ = SlotTable(static_cast<char*>(memory) + sizeof(Header), size_bytes - sizeof(Header),
                     &header_->claim_counter, SlotFormat{});
}

Outcome RateTable::take(std::string_view key, const Rate& rate, double cost, base::SteadyTime now,
                        Verdict& verdict) const {
  verdict = Verdict{};
  if (!is_usable(rate)) return Outcome::kDecided;
  const uint64_t hash = std::max<uint64_t>(shm::keyed_hash(header_->seed, key), SlotTable::kTombstoneTag + 1);
  Slot* home = slots_.home(hash);
  __builtin_prefetch(home, 1);  // with millions of keys the wait for this line is most of a decision
  const Cell cell = make_cell(rate, cost > 0 ? cost : 0);
  const uint64_t now_ns = static_cast<uint64_t>(std::max<int64_t>(0, now.time_since_epoch().count()));

  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    SlotTable::Place place;
    SlotTable::Found found = slots_.find(hash, home, place);
    const uint64_t tat = found == SlotTable::Found::kLive ? std::max(place.value.state, now_ns) : now_ns;
    const uint64_t next = tat + cell.spend;
    const bool is_admitted = next - now_ns <= cell.tolerance;
    if (!is_admitted || cell.spend == 0) {
      verdict = make_verdict(cell, tat, now_ns, is_admitted);
      return Outcome::kDecided;
    }
    const SlotValue fresh{hash, next};
    SlotTable::Claim claim = SlotTable::Claim::kRetry;
    if (found == SlotTable::Found::kLive) {
      if (place.slot->swap(place.value, fresh)) claim = SlotTable::Claim::kDone;
    } else if (found == SlotTable::Found::kPending) {
      claim = slots_.commit(hash, home, place, fresh);
    } else {
      claim = slots_.claim(hash, home, fresh, SlotTable::Now{now_ns, now_ns / 1000000});
    }
    if (claim == SlotTable::Claim::kFull) return Outcome::kTableFull;
    if (claim == SlotTable::Claim::kRetry) continue;
    verdict = make_verdict(cell, next, now_ns, true);
    return Outcome::kDecided;
  }
  return Outcome::kTableFull;
}

size_t RateTable::count_live(base::SteadyTime now) const {
  uint64_t now_ns = static_cast<uint64_t>(std::max<int64_t>(0, now.time_since_epoch().count()));
  return slots_.count_live(SlotTable::Now{now_ns, now_ns / 1000000});
}

}  // namespace moongate::limit
