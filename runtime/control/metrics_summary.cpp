// SPDX-License-Identifier: Apache-2.0
#include "control/metrics_summary.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/times.h"
#include "metrics/labels.h"

namespace moongate::control {

using base::Value;
using metrics::Family;
using Series = metrics::Registry::Series;

namespace {

constexpr size_t kRoutesShownMax = 500;

using Name = std::optional<std::string>;  // nothing: the series of those for whom there was no room

struct RouteNumbers {
  std::map<std::string, uint64_t> codes;
  uint64_t request_count = 0;
  const Series* duration = nullptr;
};

struct PluginNumbers {
  uint64_t cpu_ns = 0;
  uint64_t error_count = 0;
};

Value number(uint64_t value) { return Value::number(static_cast<double>(value)); }

uint64_t value_of(const Series& series, size_t index = 0) {
  return series.values[index].load(std::memory_order_relaxed);
}

Value describe_route(const Name& id, const RouteNumbers& route) {
  Value value = Value::object();
  value.set("id", id ? Value::string(*id) : Value::null());
  Value& codes = value.set("codes", Value::object());
  for (const auto& [code, count] : route.codes) codes.set(code, number(count));
  Value& buckets = value.set("buckets", Value::array());
  if (route.duration == nullptr) return value;
  const size_t bucket_count = metrics::family_spec(Family::kRequestDuration).bounds.size() + 1;
  for (size_t i = 0; i < bucket_count; i++) buckets.items().push_back(number(value_of(*route.duration, i)));
  return value;
}

void add_routes(Value& value, const std::map<Name, RouteNumbers>& routes) {
  std::vector<std::pair<uint64_t, const Name*>> order;
  order.reserve(routes.size());
  for (const auto& [id, route] : routes) order.emplace_back(route.request_count, &id);
  const size_t shown = std::min(order.size(), kRoutesShownMax);
  const auto has_more = [](const auto& left, const auto& right) { return left.first > right.first; };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(), has_more);
  Value& list = value.set("routes", Value::array());
  for (size_t i = 0; i < shown; i++)
    list.items().push_back(describe_route(*order[i].second, routes.at(*order[i].second)));
  value.set("route_count", number(routes.size()));
}

void add_plugins(Value& value, const std::map<Name, PluginNumbers>& plugins) {
  Value& list = value.set("plugins", Value::array());
  const double ns = metrics::family_spec(Family::kPluginSeconds).divisor;
  for (const auto& [name, plugin] : plugins) {
    Value one = Value::object();
    one.set("name", name ? Value::string(*name) : Value::null());
    one.set("seconds", Value::number(static_cast<double>(plugin.cpu_ns) / ns));
    one.set("errors", number(plugin.error_count));
    list.items().push_back(std::move(one));
  }
}

}  // namespace

Value summarize_metrics(const metrics::Registry& registry) {
  const std::vector<Series> all = registry.list();
  std::map<Name, RouteNumbers> routes;
  std::map<Name, PluginNumbers> plugins;
  for (const Series& series : all) {
    if (series.family == Family::kRequests) {
      RouteNumbers& route = routes[metrics::find_label(series.labels, "route")];
      route.codes[metrics::find_label(series.labels, "code").value_or("other")] += value_of(series);
      route.request_count += value_of(series);
    } else if (series.family == Family::kRequestDuration) {
      routes[metrics::find_label(series.labels, "route")].duration = &series;
    } else if (series.family == Family::kPluginSeconds) {
      plugins[metrics::find_label(series.labels, "plugin")].cpu_ns += value_of(series);
    } else if (series.family == Family::kPluginErrors) {
      plugins[metrics::find_label(series.labels, "plugin")].error_count += value_of(series);
    }
  }
  const metrics::FamilySpec& spec = metrics::family_spec(Family::kRequestDuration);
  Value value = Value::object();
  value.set("time_ms", number(wall_ms()));
  Value& bounds = value.set("bounds_s", Value::array());
  for (const uint64_t bound : spec.bounds)
    bounds.items().push_back(Value::number(static_cast<double>(bound) / spec.divisor));
  add_routes(value, routes);
  add_plugins(value, plugins);
  return value;
}

}  // namespace moongate::control
