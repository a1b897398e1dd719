// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker_metrics.h"

#include <unordered_map>

#include "exchange/traffic.h"
#include "metrics/labels.h"
#include "proxy/traffic_metrics.h"

namespace moongate::proxy {

using exchange::Exchange;
using metrics::Counter;
using metrics::Family;

// The counters of one route, found by code and consumer once they were needed.
struct RouteMetrics {
  std::string route, service;
  std::unordered_map<uint16_t, Counter*> requests;
  metrics::Histogram duration;
};

struct WorkerMetrics {
  explicit WorkerMetrics(const metrics::Registry& shared, shm::ProcessSlot& process)
      : registry(shared), slot(process), traffic(shared) {}
  const metrics::Registry& registry;
  shm::ProcessSlot& slot;
  std::unordered_map<std::string, std::unique_ptr<RouteMetrics>> routes;
  TrafficMetrics traffic;
  Counter* retries = nullptr;
  Counter* stalls = nullptr;
};

void WorkerMetricsDeleter::operator()(WorkerMetrics* metrics) const { delete metrics; }

base::Result<WorkerMetricsOwner> make_worker_metrics(const metrics::Registry& registry,
                                                     shm::ProcessSlot& slot) {
  WorkerMetricsOwner owner(new WorkerMetrics(registry, slot));
  owner->retries = registry.counter(Family::kUpstreamRetries);
  owner->stalls = registry.counter(Family::kLoopStalls);
  return owner;
}

namespace {

RouteMetrics& metrics_of(WorkerMetrics& worker, const snapshot::Route* route) {
  if (route && route->metrics) return *static_cast<RouteMetrics*>(route->metrics);
  // Routes come and go; what was counted for them stays. Beyond a bound they share what has no route.
  constexpr size_t kRoutesMax = 50'000;
  std::string id = route && worker.routes.size() < kRoutesMax ? route->id : std::string();
  auto& found = worker.routes[id];
  if (!found) {
    found = std::make_unique<RouteMetrics>();
    found->route = id;
    found->service = route ? route->service_id : std::string();
    found->duration =
        worker.registry.histogram(Family::kRequestDuration, metrics::Labels().add("route", id).text());
  }
  if (route) route->metrics = found.get();
  return *found;
}

}  // namespace

void count_exchange(Context& context, Exchange& exchange) {
  WorkerMetrics& worker = *context.metrics;
  worker.slot.request_count.fetch_add(1, std::memory_order_relaxed);
  RouteMetrics& route = metrics_of(worker, exchange.route);
  Counter*& requests = route.requests[exchange.response.status];
  if (!requests) {
    std::string code = std::to_string(exchange.response.status);
    requests = worker.registry.counter(Family::kRequests,
                                       metrics::Labels().add("route", route.route).add("code", code).text());
  }
  requests->add();
  route.duration.observe(base::Clock::steady() - exchange.started);
  if ((exchange.traffic & exchange::traffic::kAny) != 0) worker.traffic.count(exchange);
}

void adopt_metrics(Context& context, const snapshot::Snapshot& snapshot) {
  context.metrics->traffic.adopt(snapshot);
}

void count_retry(Context& context) { context.metrics->retries->add(); }
void count_stall(Context& context) { context.metrics->stalls->add(); }

void count_plugin(Context& context, const std::string& name, uint64_t samples, uint64_t errors) {
  if (samples == 0 && errors == 0) return;
  constexpr uint64_t kSampleNs = 10'000'000;
  const metrics::Registry& registry = context.metrics->registry;
  metrics::Labels labels;
  labels.add("plugin", name);
  if (samples > 0) registry.counter(Family::kPluginSeconds, labels.text())->add(samples * kSampleNs);
  if (errors > 0) registry.counter(Family::kPluginErrors, labels.text())->add(errors);
}

void count_plugin_calls(Context& context, const std::string& name, exchange::Phase phase, uint64_t calls) {
  constexpr std::string_view kNames[] = {"none",          "rewrite",     "access", "before_proxy",
                                         "header_filter", "body_filter", "log"};
  static_assert(std::size(kNames) == static_cast<size_t>(exchange::Phase::kCount));
  if (calls == 0) return;
  metrics::Labels labels;
  labels.add("plugin", name).add("phase", kNames[static_cast<size_t>(phase)]);
  context.metrics->registry.counter(Family::kPluginCalls, labels.text())->add(calls);
}

}  // namespace moongate::proxy
