// SPDX-License-Identifier: Apache-2.0
// What each process tells the others about itself. The supervisor reads it to see who lives, who hangs and in
// which plugin; control reads it for `moongate status` and the metrics page. Every field is a plain atomic
// written by one process, so a death at any instant leaves nothing to repair.
//
//   header ─┬─ slot 0   worker 0    pid, state, snapshot number, heartbeat, running plugin, connections ...
//           ├─ slot 1   worker 1
//           ├─ ...
//           ├─ slot 63  worker 63
//           ├─ slot 64  control
//           ├─ names    1,024 plugin names; `running_plugin` is an index here, 0 is "none"
//           └─ board    which of these plugins are in quarantine
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "shm/quarantine_board.h"

namespace moongate::shm {

inline constexpr uint32_t kWorkersMax = 64;
inline constexpr uint32_t kControlSlot = kWorkersMax;
inline constexpr uint32_t kProcessSlots = kWorkersMax + 1;

/// dead -> starting -> serving -> draining -> dead; a crash leads from anywhere to dead.
enum class ProcessState : uint32_t { kDead, kStarting, kServing, kDraining };

std::string_view process_state_name(ProcessState state);

/// One process. Its owner writes; the supervisor writes pid, state, start and restarts around fork and death.
/// Slots are padded so that no two processes share a cache line.
struct alignas(128) ProcessSlot {
  std::atomic<int32_t> pid{0};
  std::atomic<ProcessState> state{ProcessState::kDead};
  std::atomic<uint32_t> restart_count{0};
  std::atomic<uint32_t> running_plugin{0};  // see ProcessTable::plugin_id
  std::atomic<uint64_t> snapshot_number{0};
  std::atomic<int64_t> started_at_ns{0};    // wall clock
  std::atomic<uint64_t> heartbeat{0};       // bumped by a loop that turns, ProcessTable::beat_period apart
  std::atomic<uint64_t> accepted_count{0};  // connections since the slot was made, over restarts
  std::atomic<uint64_t> handled_count{0};
  std::atomic<uint64_t> request_count{0};
  std::atomic<int64_t> active_count{0};  // connections now: reading + writing + waiting
  std::atomic<int64_t> reading_count{0};
  std::atomic<int64_t> writing_count{0};
  std::atomic<int64_t> waiting_count{0};

  void beat() { heartbeat.fetch_add(1, std::memory_order_relaxed); }
  /// Starts a new life: clears what belongs to the process that died and keeps what counts for ever.
  void start(int32_t new_pid, base::WallTime now);
  /// Marks the process dead and takes its connections out of the gauges.
  void finish();
};

/// The table itself.
///
/// Shape:   see the drawing above; about 70 KB.
/// Owner:   an area of the supervisor's segment.
/// Runs in: every process; never blocks, never allocates.
/// Fails:   when 1,023 names are taken, further plugins share the name "(other)".
class ProcessTable {
 public:
  static constexpr uint32_t kNamesMax = 1024;
  static constexpr size_t kNameBytesMax = 47;

  static size_t size_bytes();
  /// Lays the table out in zeroed memory of `size_bytes()`.
  static ProcessTable* make(void* memory);

  ProcessSlot& slot(uint32_t index);
  const ProcessSlot& slot(uint32_t index) const { return const_cast<ProcessTable*>(this)->slot(index); }
  ProcessSlot& control() { return slot(kControlSlot); }

  /// The number under which a plugin is written to `running_plugin`; the same in every process. Names are cut
  /// to 47 bytes. Looks through the table: ask when a plugin is loaded, not when it runs.
  uint32_t plugin_id(std::string_view name);
  /// The name behind a number; empty for 0 and for numbers never given out.
  std::string_view plugin_name(uint32_t id) const;
  QuarantineBoard& quarantine() { return quarantine_; }
  const QuarantineBoard& quarantine() const { return quarantine_; }

  /// How often a process beats, and is looked at, when it must not stand still for `limit`: often enough that
  /// the limit is met within an eighth.
  static base::Duration beat_period(base::Duration limit) {
    return std::clamp<base::Duration>(limit / 8, std::chrono::milliseconds(25),
                                      std::chrono::milliseconds(250));
  }

 private:
  enum NameState : uint32_t { kNameFree, kNameWriting, kNameReady };
  struct Name {
    std::atomic<uint32_t> state;
    uint32_t size;
    char text[kNameBytesMax + 1];
  };

  ProcessSlot slots_[kProcessSlots];
  Name names_[kNamesMax];
  QuarantineBoard quarantine_;
};

/// Writes the running plugin of this process for the length of a scope and puts the former one back.
class RunningPlugin {
 public:
  RunningPlugin(ProcessSlot& slot, uint32_t plugin_id)
      : slot_(slot), former_(slot.running_plugin.load(std::memory_order_relaxed)) {
    slot.running_plugin.store(plugin_id, std::memory_order_relaxed);
  }
  ~RunningPlugin() { slot_.running_plugin.store(former_, std::memory_order_relaxed); }
  RunningPlugin(const RunningPlugin&) = delete;
  RunningPlugin& operator=(const RunningPlugin&) = delete;

 private:
  ProcessSlot& slot_;
  uint32_t former_;
};

}  // namespace moongate::shm
