// SPDX-License-Identifier: Apache-2.0
// Every metric there is, declared once: name, help, type, unit and buckets. Names that begin with `apisix_`
// are the ones APISIX's dashboards and alert rules look for, with its labels; `moongate_` are our own. The
// order here is the order on the page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace moongate::metrics {

enum class Family : uint16_t {
  kHttpStatus,
  kHttpLatency,
  kBandwidth,
  kNginxCurrentConnections,
  kHttpRequestsTotal,
  kEtcdReachable,
  kEtcdModifyIndexes,
  kNodeInfo,
  kSharedDictCapacity,
  kSharedDictFreeSpace,
  kUpstreamStatus,
  kStreamConnectionTotal,
  kStreamActiveConnections,
  kBatchProcessEntries,
  kRequests,
  kRequestDuration,
  kConnections,
  kConnectionsAccepted,
  kLimiterDecisions,
  kPluginSeconds,
  kPluginCalls,
  kPluginErrors,
  kPluginQuarantined,
  kSnapshotNumber,
  kWorkerUp,
  kWorkerRestarts,
  kConfigReloads,
  kConfigReloadTime,
  kLogLinesDropped,
  kUpstreamConnectFailures,
  kUpstreamRetries,
  kUpstreamTries,
  kBreakerState,
  kScriptMemory,
  kLoopStalls,
  kLoopTurn,
  kLoopLongestTurn,
  kMetricSeries,
  kMetricSeriesDropped,
  kCount,
};

inline constexpr size_t kFamilyCount = static_cast<size_t>(Family::kCount);

enum class Type : uint8_t { kCounter, kGauge, kHistogram };

struct FamilySpec {
  Family family;
  std::string_view name;
  std::string_view help;
  Type type;
  /// Values are whole numbers in memory; the page shows them divided by this (1,000: kept in us, shown in
  /// ms).
  uint32_t divisor = 1;
  /// Upper bounds in the unit of memory, rising; +Inf follows by itself.
  std::span<const uint64_t> bounds = {};
  /// Its series remember when they were last added to, so that the page can leave out old ones.
  bool is_dated = false;
};

/// The declaration of a family. Valid for every Family but kCount.
const FamilySpec& family_spec(Family family);

}  // namespace moongate::metrics
