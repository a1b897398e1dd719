// SPDX-License-Identifier: Apache-2.0
#include "limit/window_table.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "base/assert.h"

namespace moongate::limit {

namespace {

constexpr unsigned kCountLowBits = 16;
constexpr unsigned kCountHighBits = 20;
constexpr uint64_t kCountMax = (uint64_t{1} << (kCountLowBits + kCountHighBits)) - 1;
constexpr uint64_t kEndMax = (uint64_t{1} << 47) - 1;
constexpr uint64_t kTagMask = ~((uint64_t{1} << kCountHighBits) - 1);
constexpr int64_t kTickNs = 4000;
constexpr double kTicksPerSecond = 250000;
constexpr int kAttemptsMax = 1000;

/// A slot's words, taken apart.
struct Run {
  uint64_t count = 0;
  uint64_t end_ticks = 0;
};

Run unpack(const SlotValue& value) {
  return Run{((value.tag & ~kTagMask) << kCountLowBits) | (value.state & 0xffff),
             value.state >> kCountLowBits};
}

SlotValue pack(uint64_t tag, const Run& run) {
  return SlotValue{tag | (run.count >> kCountLowBits),
                   (run.end_ticks << kCountLowBits) | (run.count & 0xffff)};
}

/// Whole units, 0 for what is no positive number.
uint64_t to_count(double number, bool is_rounded_up) {
  if (!(number > 0)) return 0;
  return static_cast<uint64_t>(
      std::min(is_rounded_up ? std::ceil(number) : std::floor(number), static_cast<double>(kCountMax)));
}

Verdict make_verdict(const Run& run, uint64_t limit, uint64_t now_ticks, bool is_admitted) {
  Verdict verdict;
  verdict.is_admitted = is_admitted;
  verdict.remaining = run.count < limit ? static_cast<double>(limit - run.count) : 0;
  if (run.end_ticks > now_ticks)
    verdict.reset_s = static_cast<double>(run.end_ticks - now_ticks) / kTicksPerSecond;
  if (!is_admitted) verdict.retry_after_s = verdict.reset_s;
  return verdict;
}

/// The end of a window that begins now.
uint64_t window_end(const Window& window, uint64_t now_ticks) {
  double length = std::ceil(window.length_s * kTicksPerSecond - 1e-6);
  if (!(length >= 1)) length = 1;
  uint64_t room = kEndMax - std::min(now_ticks, kEndMax);
  return now_ticks + (length < static_cast<double>(room) ? static_cast<uint64_t>(length) : room);
}

}  // namespace

struct alignas(64) WindowTable::Header {
  shm::HashSeed seed;
  uint64_t claim_counter = 0;
  int64_t made_at_ns = 0;
};

WindowTable::WindowTable(void* memory, size_t size_bytes, base::SteadyTime now) {
  MG_ASSERT(size_bytes >= kSizeBytesMin);
  // One tick back, so that no window ever ends at 0, the time of a slot nobody used.
  header_ = new (memory) Header{shm::make_hash_seed(), 0, now.time_since_epoch().count() - kTickNs};
  slots_ = SlotTable(static_cast<char*>(memory) + sizeof(Header), size_bytes - sizeof(Header),
                     &header_->claim_counter, SlotFormat{kTagMask, kCountLowBits});
}

SlotTable::Now WindowTable::to_ticks(base::SteadyTime now) const {
  int64_t ns = now.time_since_epoch().count();
  int64_t age = std::max<int64_t>(0, ns - header_->made_at_ns);
  return SlotTable::Now{static_cast<uint64_t>(age / kTickNs),
                        static_cast<uint64_t>(std::max<int64_t>(0, ns)) / 1000000};
}

Outcome WindowTable::take(std::string_view key, const Window& window, double cost, base::SteadyTime now,
                          Verdict& verdict) const {
  const uint64_t hash = shm::keyed_hash(header_->seed, key);
  const uint64_t tag = std::max<uint64_t>(hash << kCountHighBits, uint64_t{1} << kCountHighBits);
  Slot* home = slots_.home(hash);
  __builtin_prefetch(home, 1);
  const SlotTable::Now at = to_ticks(now);
  const uint64_t limit = to_count(window.count, false);
  const uint64_t spend = to_count(cost, true);

  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    SlotTable::Place place;
    const SlotTable::Found found = slots_.find(tag, home, place);
    Run run;
    if (found == SlotTable::Found::kLive) run = unpack(place.value);
    if (run.end_ticks <= at.ticks) run = Run{0, window_end(window, at.ticks)};
    const bool is_admitted = run.count <= limit && spend <= limit - run.count;
    if (!is_admitted || spend == 0) {
      verdict = make_verdict(run, limit, at.ticks, is_admitted);
      return Outcome::kDecided;
    }
    run.count += spend;
    const SlotValue fresh = pack(tag, run);
    SlotTable::Claim claim = SlotTable::Claim::kRetry;
    if (found == SlotTable::Found::kLive) {
      if (place.slot->swap(place.value, fresh)) claim = SlotTable::Claim::kDone;
    } else if (found == SlotTable::Found::kPending) {
      claim = slots_.commit(tag, home, place, fresh);
    } else {
      claim = slots_.claim(tag, home, fresh, at);
    }
    if (claim == SlotTable::Claim::kFull) return Outcome::kTableFull;
    if (claim == SlotTable::Claim::kRetry) continue;
    verdict = make_verdict(run, limit, at.ticks, true);
    return Outcome::kDecided;
  }
  return Outcome::kTableFull;
}

size_t WindowTable::count_live(base::SteadyTime now) const { return slots_.count_live(to_ticks(now)); }

}  // namespace moongate::limit
