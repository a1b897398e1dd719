// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker_metrics.h"

#include <algorithm>
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
  std::string route;
  std::unordered_map<uint16_t, Counter*> requests;
  metrics::Histogram duration;
  uint32_t generation = 0;  // of the registry, under which these were looked up
};

struct WorkerMetrics {
  explicit WorkerMetrics(const metrics::Registry& shared, shm::ProcessSlot& process)
      : registry(shared), slot(process), traffic(shared) {}
  const metrics::Registry& registry;
  shm::ProcessSlot& slot;
  /// Kept by the routes themselves.
  std::unordered_map<std::string, std::weak_ptr<RouteMetrics>> routes;
  size_t routes_until_sweep = 1024;  // so many more, and those of routes that are gone are taken out
  std::shared_ptr<RouteMetrics> without_route = std::make_shared<RouteMetrics>();
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

/// Routes come and go; those of one id share what is counted for it. Beyond a bound they share what has no
/// route.
std::shared_ptr<RouteMetrics> make_metrics_of(WorkerMetrics& worker, const snapshot::Route& route) {
  constexpr size_t kRoutesMax = 50'000;
  if (--worker.routes_until_sweep == 0) {
    std::erase_if(worker.routes, [](const auto& item) { return item.second.expired(); });
    worker.routes_until_sweep = std::max<size_t>(1024, worker.routes.size());
  }
  const auto had = worker.routes.find(route.id);
  if (had == worker.routes.end() && worker.routes.size() >= kRoutesMax) return worker.without_route;
  std::weak_ptr<RouteMetrics>& place = had != worker.routes.end() ? had->second : worker.routes[route.id];
  std::shared_ptr<RouteMetrics> found = place.lock();
  if (!found) {
    found = std::make_shared<RouteMetrics>();
    found->route = route.id;
    place = found;
  }
  return found;
}

RouteMetrics& metrics_of(WorkerMetrics& worker, const snapshot::Route* route) {
  if (route && !route->metrics) route->metrics = make_metrics_of(worker, *route);
  RouteMetrics& found = route ? *static_cast<RouteMetrics*>(route->metrics.get()) : *worker.without_route;
  const uint32_t generation = worker.registry.generation();
  if (!found.duration.is_valid() || found.generation != generation) {
    found.generation = generation;
    found.requests.clear();
    found.duration = worker.registry.histogram(Family::kRequestDuration,
                                               metrics::Labels().add("route", found.route).text());
  }
  return found;
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
  const uint64_t date = metrics::Registry::date_of(base::Clock::steady());
  metrics::Registry::date(requests, date);
  requests->add();
  metrics::Registry::date(route.duration, date);
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
