// SPDX-License-Identifier: Apache-2.0
// How upstreams' nodes are, as checks and requests found them: one verdict for all processes, which outlives
// each of them. Control, which reads the configuration, gives out the slots and takes them back; everybody
// finds them by a key and counts on them. A slot is three atomic words, so that a death at any instant leaves
// nothing to repair:
//
//   key     64  of upstream, node and checks; 0: never used, 1: was used
//   state   34-63  print: of the key, so that who counts for a former owner of the slot changes nothing
//           32-33  NodeHealth
//            0-31  successes, HTTP failures, TCP failures, timeouts, 8 bits each
//   cause   63     what the verdict was, so that one whose maker died before it said why has no cause
//           62     seen in a client's request
//           60-61  HealthEvent
//           48-59  HTTP status of the answer; 0: none
//            0-47  milliseconds of the monotonic clock, which all processes share
//
// A free slot is searched from the key's place onwards, so a search ends at a slot that was never used.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace moongate::shm {

/// kHealthy and kMostlyHealthy nodes are used.
enum class NodeHealth : uint8_t { kHealthy, kMostlyHealthy, kMostlyUnhealthy, kUnhealthy };
inline bool is_usable(NodeHealth health) { return health <= NodeHealth::kMostlyHealthy; }
std::string_view node_health_name(NodeHealth health);

enum class HealthEvent : uint8_t { kSuccess, kHttpFailure, kTcpFailure, kTimeout };

struct HealthCause {
  HealthEvent event = HealthEvent::kSuccess;
  bool is_passive = false;   // a client's request showed it, and no check
  uint16_t http_status = 0;  // 0: there was no answer
};
/// "TCP failure in a request", "HTTP status 500 in a check".
std::string describe_cause(const HealthCause& cause);

/// One thing that was seen of a node.
struct HealthReport {
  HealthCause cause;
  uint8_t limit = 0;  // how many of them make a verdict; 0: they do not count
};

struct NodeState {
  NodeHealth health = NodeHealth::kHealthy;
  std::array<uint8_t, 4> counts{};  // by HealthEvent
  /// Of the last change between usable and not, when it is known.
  std::optional<HealthCause> cause;
  base::SteadyTime changed_at{};
};

/// The board.
///
/// Shape:   an open-addressed table of kSlots, at most half of them in use.
/// Owner:   an area of the supervisor's segment. claim() and keep_only() are control's, the rest everybody's.
/// Runs in: every process; never blocks, never allocates.
/// Fails:   claim() when kNodesMax are in use. What has no slot counts for nothing and is healthy.
class HealthBoard {
 public:
  static constexpr uint32_t kSlots = 16384;
  static constexpr uint32_t kNodesMax = kSlots / 2;
  static constexpr uint32_t kNone = UINT32_MAX;

  static size_t size_bytes();
  /// The key for a hash of what identifies a node; keys are greater than kFree and kWasUsed.
  static uint64_t make_key(uint64_t hash) { return hash | 2; }
  /// Lays the board out in zeroed memory of `size_bytes()`, of which it touches nothing.
  static HealthBoard* make(void* memory);

  /// The slot of the key, which begins as healthy when it is new; kNone when the board is full.
  uint32_t claim(uint64_t key);
  /// Takes all other slots back. `keys` are sorted.
  void keep_only(std::span<const uint64_t> keys);
  /// The slot of the key, or kNone.
  uint32_t find(uint64_t key) const;
  /// True while the slot is the key's.
  bool is_of(uint32_t slot, uint64_t key) const;

  NodeHealth health(uint32_t slot) const {
    return health_of(slots_[slot].state.load(std::memory_order_acquire));
  }
  NodeState read(uint32_t slot) const;

  struct Change {
    NodeHealth before = NodeHealth::kHealthy;
    NodeHealth after = NodeHealth::kHealthy;
    uint8_t count = 0;  // of what was reported
    bool is_verdict() const { return is_usable(before) != is_usable(after); }
  };
  /// Counts what was seen of the key's node. A success ends a run of failures, and the other way round; the
  /// one that reaches its limit makes the verdict. Nothing happens when the slot is somebody else's.
  Change report(uint32_t slot, uint64_t key, const HealthReport& report);
  /// Forgets what was counted: the node is healthy. True when it was not usable.
  bool forget(uint32_t slot, uint64_t key);

  /// Rises with every verdict and every slot that changes hands: who saw this number has seen them all.
  uint32_t changes() const { return changes_.load(std::memory_order_acquire); }
  /// Makes everybody look again. For verdicts whose maker died before it could say that there is one.
  void call_attention() { changes_.fetch_add(1, std::memory_order_release); }

 private:
  static constexpr uint64_t kFree = 0;
  static constexpr uint64_t kWasUsed = 1;
  static constexpr unsigned kHealthShift = 32;
  static constexpr uint64_t kPrintMask = ~uint64_t{0} << 34;
  struct Slot {
    std::atomic<uint64_t> key;
    std::atomic<uint64_t> state;
    std::atomic<uint64_t> cause;
  };

  static NodeHealth health_of(uint64_t state) { return static_cast<NodeHealth>(state >> kHealthShift & 3); }
  static uint64_t count(uint64_t state, const HealthReport& report, Change* change);
  void clear_ends();

  std::atomic<uint32_t> changes_;
  std::atomic<uint32_t> used_;
  Slot slots_[kSlots];
};

}  // namespace moongate::shm
