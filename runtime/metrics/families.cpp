// SPDX-License-Identifier: Apache-2.0
#include "metrics/families.h"

#include "base/assert.h"

namespace moongate::metrics {

namespace {

// APISIX's buckets of 1 ms to a minute, kept in microseconds.
constexpr uint64_t kLatencyBoundsUs[] = {1000,    2000,    5000,     10000,    20000,
                                         50000,   100000,  200000,   500000,   1000000,
                                         2000000, 5000000, 10000000, 30000000, 60000000};
// Ours begin lower: the gateway's own share is far below a millisecond.
constexpr uint64_t kDurationBoundsUs[] = {100,   250,    500,    1000,   2500,    5000,    10000,   25000,
                                          50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

constexpr uint64_t kTurnBoundsUs[] = {100,   250,   500,   1000,   2000,   5000,
                                      10000, 20000, 50000, 100000, 500000, 1000000};

constexpr FamilySpec kFamilies[] = {
    {Family::kHttpStatus,
     "apisix_http_status",
     "Requests by status code, route and who took part",
     Type::kCounter,
     1,
     {},
     true},
    {Family::kHttpLatency, "apisix_http_latency",
     "Time of requests in milliseconds: of the whole request, of the upstream, of the gateway",
     Type::kHistogram, 1000, kLatencyBoundsUs, true},
    {Family::kBandwidth,
     "apisix_bandwidth",
     "Bytes received from and sent to clients",
     Type::kCounter,
     1,
     {},
     true},
    {Family::kNginxCurrentConnections, "apisix_nginx_http_current_connections",
     "Client connections by state; accepted and handled count since the start", Type::kGauge},
    {Family::kHttpRequestsTotal, "apisix_http_requests_total", "Requests since the start", Type::kGauge},
    {Family::kEtcdReachable, "apisix_etcd_reachable", "1 while the configuration store answers, else 0",
     Type::kGauge},
    {Family::kEtcdModifyIndexes, "apisix_etcd_modify_indexes",
     "Revision of the newest change of each kind of resource", Type::kGauge},
    {Family::kNodeInfo, "apisix_node_info", "Always 1; labels name this instance", Type::kGauge},
    {Family::kSharedDictCapacity, "apisix_shared_dict_capacity_bytes", "Size of a shared dictionary",
     Type::kGauge},
    {Family::kSharedDictFreeSpace, "apisix_shared_dict_free_space_bytes",
     "Memory a shared dictionary has left", Type::kGauge},
    {Family::kUpstreamStatus, "apisix_upstream_status", "1 for a node that health checks find well, else 0",
     Type::kGauge},
    {Family::kStreamConnectionTotal, "apisix_stream_connection_total", "Stream connections since the start",
     Type::kCounter},
    {Family::kStreamActiveConnections, "apisix_stream_active_connections", "Stream connections open now",
     Type::kGauge},
    {Family::kBatchProcessEntries, "apisix_batch_process_entries", "Entries that wait in a logger's batch",
     Type::kGauge},
    {Family::kRequests,
     "moongate_requests_total",
     "Requests by route and status code",
     Type::kCounter,
     1,
     {},
     true},
    {Family::kRequestDuration, "moongate_request_duration_seconds",
     "Time from a request's first byte to its answer's last", Type::kHistogram, 1000000, kDurationBoundsUs,
     true},
    {Family::kConnections, "moongate_connections", "Client connections by worker and state", Type::kGauge},
    {Family::kConnectionsAccepted, "moongate_connections_accepted_total", "Client connections accepted",
     Type::kCounter},
    {Family::kLimiterDecisions, "moongate_limiter_decisions_total",
     "Decisions of limits by plugin and result", Type::kCounter},
    {Family::kPluginSeconds, "moongate_plugin_seconds_total", "CPU time spent in a plugin", Type::kCounter,
     1000000000},
    {Family::kPluginCalls, "moongate_plugin_calls_total", "Calls of a plugin's phase functions",
     Type::kCounter},
    {Family::kPluginErrors, "moongate_plugin_errors_total",
     "Errors raised by a plugin, and budgets it overran", Type::kCounter},
    {Family::kPluginQuarantined, "moongate_plugin_quarantined", "1 while a plugin is quarantined",
     Type::kGauge},
    {Family::kSnapshotNumber, "moongate_snapshot_number", "Number of the configuration a process serves",
     Type::kGauge},
    {Family::kWorkerUp, "moongate_worker_up", "1 for a worker that serves, else 0", Type::kGauge},
    {Family::kWorkerRestarts, "moongate_worker_restarts_total", "Times a process was started again",
     Type::kCounter},
    {Family::kConfigReloads, "moongate_config_reloads_total", "Changes of configuration by result",
     Type::kCounter},
    {Family::kConfigReloadTime, "moongate_config_last_reload_timestamp_seconds",
     "When the configuration last changed successfully", Type::kGauge, 1000},
    {Family::kLogLinesDropped, "moongate_log_lines_dropped_total", "Log lines a sink did not accept",
     Type::kCounter},
    {Family::kUpstreamConnectFailures, "moongate_upstream_connect_failures_total",
     "Connections to upstream nodes that failed", Type::kCounter},
    {Family::kUpstreamRetries, "moongate_upstream_retries_total",
     "Requests sent to another node after a failure", Type::kCounter},
    {Family::kUpstreamTries, "moongate_upstream_tries_total", "Tries to send a request upstream by result",
     Type::kCounter},
    {Family::kBreakerState, "moongate_breaker_state", "0 closed, 1 half open, 2 open", Type::kGauge},
    {Family::kScriptMemory, "moongate_script_memory_bytes", "Memory of a worker's Lua state", Type::kGauge},
    {Family::kLoopStalls, "moongate_loop_stalls_total", "Turns of an event loop that took too long",
     Type::kCounter},
    {Family::kLoopTurn, "moongate_loop_turn_seconds",
     "Time that turns of a worker's event loop worked; what comes meanwhile waits as long", Type::kHistogram,
     1000000, kTurnBoundsUs},
    {Family::kLoopLongestTurn, "moongate_loop_longest_turn_seconds",
     "Longest turn of a worker's event loop since it serves", Type::kGauge, 1000000},
    {Family::kMetricSeries, "moongate_metric_series", "Label sets that exist", Type::kGauge},
    {Family::kMetricSeriesDropped, "moongate_metric_series_dropped_total",
     "Lookups of label sets for which there was no room, by metric", Type::kCounter},
};
static_assert(sizeof kFamilies / sizeof kFamilies[0] == kFamilyCount);

constexpr bool is_in_order() {
  for (size_t i = 0; i < kFamilyCount; ++i) {
    if (static_cast<size_t>(kFamilies[i].family) != i) return false;
  }
  return true;
}
static_assert(is_in_order(), "the table has the order of the enumeration");

}  // namespace

const FamilySpec& family_spec(Family family) {
  MG_ASSERT(family < Family::kCount);
  return kFamilies[static_cast<size_t>(family)];
}

}  // namespace moongate::metrics
