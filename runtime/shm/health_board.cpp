// SPDX-License-Identifier: Apache-2.0
#include "shm/health_board.h"

#include <algorithm>
#include <type_traits>

#include "base/assert.h"

namespace moongate::shm {

namespace {

constexpr uint64_t kCountMax = 0xff;
constexpr unsigned kEventShift = 60;
constexpr unsigned kStatusShift = 48;
constexpr uint64_t kUnusable = uint64_t{1} << 63;
constexpr uint64_t kPassive = uint64_t{1} << 62;
constexpr uint64_t kTimeMask = (uint64_t{1} << kStatusShift) - 1;

unsigned shift_of(HealthEvent event) { return 8 * static_cast<unsigned>(event); }

uint64_t pack_cause(const HealthCause& cause, bool is_usable_now) {
  const auto now = base::Clock::steady().time_since_epoch() / std::chrono::milliseconds(1);
  return (is_usable_now ? 0 : kUnusable) | (cause.is_passive ? kPassive : 0) |
         static_cast<uint64_t>(cause.event) << kEventShift |
         static_cast<uint64_t>(cause.http_status & 0xfff) << kStatusShift |
         (static_cast<uint64_t>(now) & kTimeMask);
}

}  // namespace

std::string_view node_health_name(NodeHealth health) {
  constexpr std::string_view kNames[] = {"healthy", "mostly_healthy", "mostly_unhealthy", "unhealthy"};
  return kNames[static_cast<size_t>(health)];
}

std::string describe_cause(const HealthCause& cause) {
  std::string text = cause.http_status != 0 ? "HTTP status " + std::to_string(cause.http_status)
                     : cause.event == HealthEvent::kTcpFailure ? "TCP failure"
                     : cause.event == HealthEvent::kTimeout    ? "timeout"
                                                               : "success";
  return text + (cause.is_passive ? " in a request" : " in a check");
}

size_t HealthBoard::size_bytes() { return sizeof(HealthBoard); }

HealthBoard* HealthBoard::make(void* memory) {
  // Zeroed memory is a board already; a constructor would only make the kernel find pages for it.
  static_assert(std::is_trivially_destructible_v<HealthBoard> && std::atomic<uint64_t>::is_always_lock_free);
  return reinterpret_cast<HealthBoard*>(memory);
}

uint32_t HealthBoard::claim(uint64_t key) {
  MG_ASSERT(key > kWasUsed);
  if (const uint32_t had = find(key); had != kNone) return had;
  if (used_.load(std::memory_order_relaxed) >= kNodesMax) return kNone;
  auto slot = static_cast<uint32_t>(key % kSlots);
  while (slots_[slot].key.load(std::memory_order_relaxed) > kWasUsed) slot = (slot + 1) % kSlots;
  slots_[slot].cause.store(0, std::memory_order_relaxed);
  slots_[slot].state.store(key & kPrintMask, std::memory_order_release);
  slots_[slot].key.store(key, std::memory_order_release);
  used_.fetch_add(1, std::memory_order_relaxed);
  changes_.fetch_add(1, std::memory_order_release);
  return slot;
}

void HealthBoard::keep_only(std::span<const uint64_t> keys) {
  uint32_t kept = 0;
  bool has_changed = false;
  for (Slot& slot : slots_) {
    const uint64_t key = slot.key.load(std::memory_order_relaxed);
    if (key <= kWasUsed) continue;
    const bool is_kept = std::binary_search(keys.begin(), keys.end(), key);
    kept += is_kept ? 1 : 0;
    if (is_kept) continue;
    slot.key.store(kWasUsed, std::memory_order_release);
    has_changed = true;
  }
  used_.store(kept, std::memory_order_relaxed);  // counted anew: a process may have died while it claimed
  if (!has_changed) return;
  clear_ends();
  changes_.fetch_add(1, std::memory_order_release);
}

/// A slot that was used, before one that never was, holds no search up any more.
void HealthBoard::clear_ends() {
  for (uint32_t i = 2 * kSlots; i-- > 0;) {
    Slot& slot = slots_[i % kSlots];
    const uint64_t after = slots_[(i + 1) % kSlots].key.load(std::memory_order_relaxed);
    if (slot.key.load(std::memory_order_relaxed) == kWasUsed && after == kFree)
      slot.key.store(kFree, std::memory_order_release);
  }
}

uint32_t HealthBoard::find(uint64_t key) const {
  auto slot = static_cast<uint32_t>(key % kSlots);
  for (uint32_t looked = 0; looked < kSlots; looked++, slot = (slot + 1) % kSlots) {
    const uint64_t there = slots_[slot].key.load(std::memory_order_acquire);
    if (there == key) return slot;
    if (there == kFree) break;
  }
  return kNone;
}

bool HealthBoard::is_of(uint32_t slot, uint64_t key) const {
  return slot < kSlots && slots_[slot].key.load(std::memory_order_acquire) == key;
}

NodeState HealthBoard::read(uint32_t slot) const {
  const uint64_t seen = slots_[slot].state.load(std::memory_order_acquire);
  const uint64_t cause = slots_[slot].cause.load(std::memory_order_acquire);
  NodeState state;
  state.health = health_of(seen);
  for (size_t i = 0; i < state.counts.size(); i++) state.counts[i] = static_cast<uint8_t>(seen >> 8 * i);
  if (cause == 0 || ((cause & kUnusable) == 0) != is_usable(state.health)) return state;
  state.cause = HealthCause{static_cast<HealthEvent>(cause >> kEventShift & 3), (cause & kPassive) != 0,
                            static_cast<uint16_t>(cause >> kStatusShift & 0xfff)};
  state.changed_at = base::SteadyTime(std::chrono::milliseconds(cause & kTimeMask));
  return state;
}

uint64_t HealthBoard::count(uint64_t state, const HealthReport& report, Change* change) {
  constexpr uint64_t kSuccesses = kCountMax;
  constexpr uint64_t kFailures = 0xffffff00;
  const bool is_success = report.cause.event == HealthEvent::kSuccess;
  const unsigned shift = shift_of(report.cause.event);
  state &= ~(is_success ? kFailures : kSuccesses);
  uint64_t counted = state >> shift & kCountMax;
  if (counted < kCountMax) counted++;
  state = (state & ~(kCountMax << shift)) | counted << shift;
  NodeHealth health = change->before;
  if (counted >= report.limit)
    health = is_success ? NodeHealth::kHealthy : NodeHealth::kUnhealthy;
  else if (is_success && health == NodeHealth::kUnhealthy)
    health = NodeHealth::kMostlyUnhealthy;
  else if (!is_success && health == NodeHealth::kHealthy)
    health = NodeHealth::kMostlyHealthy;
  change->after = health;
  change->count = static_cast<uint8_t>(counted);
  return (state & ~(uint64_t{3} << kHealthShift)) | static_cast<uint64_t>(health) << kHealthShift;
}

HealthBoard::Change HealthBoard::report(uint32_t slot, uint64_t key, const HealthReport& report) {
  if (report.limit == 0 || slot >= kSlots) return {};
  const bool is_success = report.cause.event == HealthEvent::kSuccess;
  std::atomic<uint64_t>& state = slots_[slot].state;
  uint64_t seen = state.load(std::memory_order_acquire);
  Change change;
  do {
    if ((seen & kPrintMask) != (key & kPrintMask)) return {};
    change.before = change.after = health_of(seen);
    // What says what is settled already is not counted.
    if (change.before == (is_success ? NodeHealth::kHealthy : NodeHealth::kUnhealthy)) return change;
  } while (!state.compare_exchange_weak(seen, count(seen, report, &change), std::memory_order_acq_rel));
  if (!change.is_verdict()) return change;
  slots_[slot].cause.store(pack_cause(report.cause, is_usable(change.after)), std::memory_order_release);
  changes_.fetch_add(1, std::memory_order_release);
  return change;
}

bool HealthBoard::forget(uint32_t slot, uint64_t key) {
  if (slot >= kSlots) return false;
  std::atomic<uint64_t>& state = slots_[slot].state;
  const uint64_t print = key & kPrintMask;
  uint64_t seen = state.load(std::memory_order_acquire);
  do {
    if ((seen & kPrintMask) != print || is_usable(health_of(seen))) return false;
  } while (!state.compare_exchange_weak(seen, print, std::memory_order_acq_rel));
  slots_[slot].cause.store(0, std::memory_order_release);
  changes_.fetch_add(1, std::memory_order_release);
  return true;
}

}  // namespace moongate::shm
