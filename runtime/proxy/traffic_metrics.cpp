// SPDX-License-Identifier: Apache-2.0
#include "proxy/traffic_metrics.h"

#include <algorithm>

#include "base/json.h"
#include "exchange/traffic.h"
#include "exchange/variables.h"
#include "metrics/labels.h"
#include "snapshot/snapshot.h"

namespace moongate::proxy {

using config::TrafficMetric;
using exchange::AnswerSource;
using exchange::Exchange;
using metrics::Family;

namespace {

constexpr std::string_view kRequestTypeText = "traditional_http";

struct MetricName {
  TrafficMetric metric;
  std::string_view name;
};
constexpr MetricName kMetrics[] = {{TrafficMetric::kHttpStatus, "http_status"},
                                   {TrafficMetric::kHttpLatency, "http_latency"},
                                   {TrafficMetric::kBandwidth, "bandwidth"}};

std::string_view source_name(AnswerSource source) {
  switch (source) {
    case AnswerSource::kUpstream:
      return "upstream";
    case AnswerSource::kProxyError:
      return "nginx";  // as APISIX says when proxying failed
    case AnswerSource::kGateway:
      return "apisix";
    case AnswerSource::kNone:
      break;
  }
  return "";
}

/// "10.0.0.1" of "10.0.0.1:80", "::1" of "[::1]:80"; a unix socket as it is.
std::string_view host_of(std::string_view address) {
  if (address.starts_with("unix:")) return address;
  const std::string_view host = address.substr(0, address.rfind(':'));
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

/// Where the answer came from, or would have: the node of the last try.
std::string_view node_of(const Exchange& exchange) {
  if (exchange.node == nullptr || exchange.tries == 0) return {};
  const bool is_recorded = exchange.tries <= std::size(exchange.try_records);
  return is_recorded ? host_of(exchange.try_records[exchange.tries - 1].address) : exchange.node->host;
}

base::Duration upstream_time(const Exchange& exchange) {
  base::Duration sum{0};
  const size_t count = std::min<size_t>(exchange.tries, std::size(exchange.try_records));
  for (size_t i = 0; i < count; i++)
    sum += std::max(exchange.try_records[i].response_time, base::Duration(0));
  return sum;
}

}  // namespace

void TrafficMetrics::adopt(const snapshot::Snapshot& snapshot) {
  const auto found = snapshot.plugin_metadata.find("prometheus");
  const std::string metadata = found == snapshot.plugin_metadata.end() ? std::string() : found->second;
  const config::MetricsSettings& settings = snapshot.settings->metrics;
  const bool is_same = metadata == metadata_ &&
                       std::all_of(std::begin(kMetrics), std::end(kMetrics), [&](const MetricName& each) {
                         return metrics_[static_cast<size_t>(each.metric)].extra_labels ==
                                settings.of(each.metric).extra_labels;
                       });
  if (is_same) return;
  metadata_ = metadata;
  const auto parsed = base::parse_json(metadata.empty() ? "{}" : metadata);
  const base::Value* disabled = parsed ? parsed->find("disabled_labels") : nullptr;
  for (const auto& [id, name] : kMetrics) {
    Metric& metric = metrics_[static_cast<size_t>(id)];
    metric.extra_labels = settings.of(id).extra_labels;
    metric.disabled = disabled_labels(disabled != nullptr ? disabled->find(name) : nullptr);
  }
  entries_.clear();
}

uint32_t TrafficMetrics::disabled_labels(const base::Value* names) {
  static constexpr std::pair<std::string_view, Label> kLabels[] = {{"route", kRoute},
                                                                   {"matched_uri", kMatchedUri},
                                                                   {"matched_host", kMatchedHost},
                                                                   {"service", kService},
                                                                   {"consumer", kConsumer},
                                                                   {"node", kNode},
                                                                   {"request_type", kRequestType},
                                                                   {"response_source", kResponseSource}};
  uint32_t bits = 0;
  if (names == nullptr || !names->is_array()) return bits;
  for (const base::Value& name : names->items()) {
    for (const auto& [label, bit] : kLabels) {
      if (name.is_string() && name.as_string() == label) bits |= bit;
    }
  }
  return bits;
}

TrafficMetrics::Values TrafficMetrics::values_of(Exchange& exchange) {
  Values values;
  const bool prefers_name = (exchange.traffic & exchange::traffic::kPreferName) != 0;
  if (const snapshot::Route* route = exchange.route) {
    values.route = prefers_name && !route->name.empty() ? route->name : route->id;
    values.service = prefers_name && !route->service_name.empty() ? route->service_name : route->service_id;
    values.matched_uri = exchange.match.pattern;
    values.matched_host = exchange.match.host_pattern;
  }
  if ((exchange.traffic & exchange::traffic::kConsumer) != 0) values.consumer = exchange.consumer_name;
  values.node = node_of(exchange);
  return values;
}

TrafficMetrics::Entry& TrafficMetrics::entry_of(Exchange& exchange, const Values& values) {
  key_.clear();
  for (const std::string_view text : {values.route, values.service, values.consumer, values.node,
                                      values.matched_uri, values.matched_host}) {
    key_ += text;
    key_ += '\0';
  }
  for (const Metric& metric : metrics_) {
    for (const config::ExtraLabel& label : metric.extra_labels) {
      std::string_view value;
      if (exchange::find_variable(exchange, label.variable, &value))
        key_ += value.substr(0, metrics::Labels::kValueBytesMax);
      key_ += '\0';
    }
  }
  if (const auto found = entries_.find(std::string_view(key_)); found != entries_.end()) return found->second;
  if (entries_.size() >= kEntriesMax) entries_.clear();
  return entries_[key_];
}

// The labels in APISIX's order; `first` is the code or the type.
std::string TrafficMetrics::labels_of(Exchange& exchange, TrafficMetric id, const Values& values,
                                      std::string_view first, AnswerSource source) const {
  const Metric& metric = metrics_[static_cast<size_t>(id)];
  const bool is_status = id == TrafficMetric::kHttpStatus;
  metrics::Labels labels;
  const auto add = [&](Label label, std::string_view name, std::string_view value) {
    labels.add(name, (metric.disabled & label) != 0 ? std::string_view() : value);
  };
  labels.add(is_status ? "code" : "type", first);
  add(kRoute, "route", values.route);
  if (is_status) add(kMatchedUri, "matched_uri", values.matched_uri);
  if (is_status) add(kMatchedHost, "matched_host", values.matched_host);
  add(kService, "service", values.service);
  add(kConsumer, "consumer", values.consumer);
  add(kNode, "node", values.node);
  add(kRequestType, "request_type", kRequestTypeText);
  labels.add("request_llm_model", {}).add("llm_model", {});
  if (is_status) add(kResponseSource, "response_source", source_name(source));
  for (const config::ExtraLabel& label : metric.extra_labels) {
    std::string_view value;
    if (!exchange::find_variable(exchange, label.variable, &value)) value = {};
    labels.add(label.name, value);
  }
  return std::string(labels.text());
}

void TrafficMetrics::count_status(Exchange& exchange, const Values& values, Entry& entry, uint64_t date) {
  const uint16_t status = exchange.response.status;
  const AnswerSource source = exchange.source;
  auto found = std::find_if(entry.statuses.begin(), entry.statuses.end(), [&](const StatusSeries& series) {
    return series.status == status && series.source == source;
  });
  if (found == entry.statuses.end()) {
    const std::string labels =
        labels_of(exchange, TrafficMetric::kHttpStatus, values, std::to_string(status), source);
    entry.statuses.push_back({status, source, registry_.counter(Family::kHttpStatus, labels)});
    found = entry.statuses.end() - 1;
  }
  metrics::Registry::date(found->requests, date);
  found->requests->add();
}

void TrafficMetrics::count_latency(Exchange& exchange, const Values& values, Entry& entry, uint64_t date) {
  const auto observe = [&](metrics::Histogram& histogram, std::string_view type, base::Duration time) {
    if (!histogram.is_valid())
      histogram = registry_.histogram(Family::kHttpLatency,
                                      labels_of(exchange, TrafficMetric::kHttpLatency, values, type, {}));
    metrics::Registry::date(histogram, date);
    histogram.observe(time);
  };
  const base::Duration whole = base::Clock::steady() - exchange.started;
  const base::Duration upstream = upstream_time(exchange);
  observe(entry.request, "request", whole);
  if (exchange.tries > 0) observe(entry.upstream, "upstream", upstream);
  observe(entry.gateway, "apisix", whole - upstream);
}

void TrafficMetrics::count_bandwidth(Exchange& exchange, const Values& values, Entry& entry, uint64_t date) {
  const auto add = [&](metrics::Counter*& counter, std::string_view type, uint64_t bytes) {
    if (counter == nullptr)
      counter = registry_.counter(Family::kBandwidth,
                                  labels_of(exchange, TrafficMetric::kBandwidth, values, type, {}));
    metrics::Registry::date(counter, date);
    counter->add(bytes);
  };
  add(entry.ingress, "ingress", exchange.bytes_received);
  add(entry.egress, "egress", exchange.bytes_sent);
}

void TrafficMetrics::count(Exchange& exchange) {
  if (const uint32_t generation = registry_.generation(); generation != generation_) {
    generation_ = generation;
    entries_.clear();
  }
  const Values values = values_of(exchange);
  Entry& entry = entry_of(exchange, values);
  const uint64_t date = metrics::Registry::date_of(base::Clock::steady());
  if ((exchange.traffic & exchange::traffic::kStatus) != 0) count_status(exchange, values, entry, date);
  if ((exchange.traffic & exchange::traffic::kLatency) != 0) count_latency(exchange, values, entry, date);
  if ((exchange.traffic & exchange::traffic::kBandwidth) != 0) count_bandwidth(exchange, values, entry, date);
}

}  // namespace moongate::proxy
