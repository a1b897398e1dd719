// SPDX-License-Identifier: Apache-2.0
#include "supervisor/shared_memory.h"

#include <cmath>
#include <map>
#include <vector>

namespace moongate::supervisor {

using base::Result;

namespace {

constexpr uint64_t kMegabyte = 1 << 20;

// What plugins look up by name at load; `shared_memory.dicts` changes a size or adds more.
const std::map<std::string, uint64_t>& usual_dicts() {
  static const std::map<std::string, uint64_t> dicts = {
      {"plugin-limit-count", 10 * kMegabyte},
      {"plugin-limit-count-reset-header", kMegabyte},
      {"plugin-limit-req", kMegabyte},
      {"plugin-limit-conn", kMegabyte},
      {"plugin-sliding-window", 10 * kMegabyte},
      {"plugin-api-breaker", 10 * kMegabyte},
      {"plugin-kong-rate-limiting", 10 * kMegabyte},
      {"plugin-limit-count-lock", kMegabyte},
      {"lrucache-lock", kMegabyte},
      {"internal-status", kMegabyte},
      {"upstream-healthcheck", kMegabyte},
  };
  return dicts;
}

/// In the unit that latencies are kept in.
std::vector<uint64_t> latency_bounds(const config::MetricsSettings& settings) {
  std::vector<uint64_t> bounds;
  for (const double bound_ms : settings.latency_buckets_ms)
    bounds.push_back(static_cast<uint64_t>(std::llround(bound_ms * 1000)));
  return bounds;
}

}  // namespace

Result<SharedMemory> make_shared_memory(const config::Settings& settings) {
  std::map<std::string, uint64_t> dicts = usual_dicts();
  for (const auto& [name, size] : settings.shared_memory.dicts) dicts[name] = size;
  const uint64_t limits_size =
      std::max<uint64_t>(settings.shared_memory.limiter_mb * kMegabyte, limit::Tables::kSizeBytesMin);
  const size_t metrics_size = metrics::Registry::size_bytes(settings.metrics.series_max);
  uint64_t total = shm::ProcessTable::size_bytes() + shm::HealthBoard::size_bytes() + limits_size +
                   metrics_size + kMegabyte;
  for (const auto& [name, size] : dicts) total += size + 4096;

  SharedMemory memory;
  Result<shm::Segment> segment = shm::Segment::make(total);
  if (!segment) return segment.error();
  memory.segment = std::make_unique<shm::Segment>(segment.take());
  void* processes =
      memory.segment->area("processes", shm::ProcessTable::size_bytes(), alignof(shm::ProcessSlot));
  MG_ASSERT(processes != nullptr);
  memory.processes = shm::ProcessTable::make(processes);
  void* health = memory.segment->area("health", shm::HealthBoard::size_bytes());
  MG_ASSERT(health != nullptr);
  memory.health = shm::HealthBoard::make(health);
  Result<limit::Tables> limits = limit::Tables::make(*memory.segment, limits_size);
  if (!limits) return limits.error();
  memory.limits = std::make_unique<limit::Tables>(limits.take());
  Result<metrics::Registry> registry =
      metrics::Registry::make(*memory.segment, settings.metrics.series_max, latency_bounds(settings.metrics));
  if (!registry) return registry.error();
  memory.metrics = std::make_unique<metrics::Registry>(registry.take());
  memory.dicts = std::make_unique<std::vector<shm::SharedDict>>();
  for (const auto& [name, size] : dicts) {
    Result<shm::SharedDict> dict = shm::SharedDict::make(*memory.segment, name, size);
    if (!dict) return dict.error();
    memory.dicts->push_back(dict.take());
  }
  return memory;
}

}  // namespace moongate::supervisor
