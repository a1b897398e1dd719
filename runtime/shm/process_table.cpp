// SPDX-License-Identifier: Apache-2.0
#include "shm/process_table.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/assert.h"

namespace moongate::shm {

std::string_view process_state_name(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
      return "starting";
    case ProcessState::kServing:
      return "serving";
    case ProcessState::kDraining:
      return "draining";
    case ProcessState::kDead:
      break;
  }
  return "dead";
}

void ProcessSlot::start(int32_t new_pid, base::WallTime now) {
  finish();
  snapshot_number.store(0);
  started_at_ns.store(now.time_since_epoch().count());
  heartbeat.store(0);
  pid.store(new_pid);
  state.store(ProcessState::kStarting);
}

void ProcessSlot::finish() {
  state.store(ProcessState::kDead);
  pid.store(0);
  running_plugin.store(0);
  for (auto* gauge : {&active_count, &reading_count, &writing_count, &waiting_count}) gauge->store(0);
}

size_t ProcessTable::size_bytes() { return sizeof(ProcessTable); }

ProcessTable* ProcessTable::make(void* memory) {
  auto* table = new (memory) ProcessTable();
  for (Name& name : table->names_) {
    name.size = 0;
    name.state.store(kNameFree);
  }
  return table;
}

ProcessSlot& ProcessTable::slot(uint32_t index) {
  MG_ASSERT(index < kProcessSlots);
  return slots_[index];
}

uint32_t ProcessTable::plugin_id(std::string_view name) {
  constexpr uint32_t kLast = kNamesMax - 1;
  name = name.substr(0, kNameBytesMax);
  for (uint32_t id = 1; id < kLast; ++id) {
    Name& entry = names_[id];
    uint32_t seen = entry.state.load(std::memory_order_acquire);
    if (seen == kNameReady && plugin_name(id) == name) return id;
    if (seen != kNameFree) continue;
    // A process that dies between these two stores loses one name of 1,022; a race costs a name listed twice.
    if (!entry.state.compare_exchange_strong(seen, kNameWriting)) {
      --id;
      continue;
    }
    if (!name.empty()) std::memcpy(entry.text, name.data(), name.size());
    entry.size = static_cast<uint32_t>(name.size());
    entry.state.store(kNameReady, std::memory_order_release);
    return id;
  }
  return kLast;
}

std::string_view ProcessTable::plugin_name(uint32_t id) const {
  if (id == 0 || id >= kNamesMax) return {};
  if (id == kNamesMax - 1) return "(other)";
  const Name& entry = names_[id];
  if (entry.state.load(std::memory_order_acquire) != kNameReady) return {};
  return {entry.text, std::min<size_t>(entry.size, kNameBytesMax)};
}

}  // namespace moongate::shm
