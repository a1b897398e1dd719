// SPDX-License-Identifier: Apache-2.0
#include "config/metrics_values.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/ascii.h"
#include "base/json.h"
#include "config/setting_values.h"
#include "config/suggest.h"
#include "net/address.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr size_t kPathMax = 256;
constexpr size_t kNameMax = 64;
constexpr size_t kBucketsMax = 64;
constexpr double kBucketMin = 0.001;
constexpr double kBucketMax = 86'400'000;
constexpr size_t kLabelsMax = 8;
constexpr double kExpireMax = 31'536'000;

/// The labels that each of the metrics has already.
constexpr std::array<std::string_view, 13> kOwnLabels{
    "code",     "type", "route",        "matched_uri",       "matched_host", "service",
    "consumer", "node", "request_type", "request_llm_model", "llm_model",    "response_source",
    "le"};

bool is_name(std::string_view text, bool can_be_empty) {
  if (text.empty()) return can_be_empty;
  if (text.size() > kNameMax || (text.front() >= '0' && text.front() <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return base::is_alphanumeric(c) || c == '_'; });
}

std::optional<Problem> read_label(const Value& value, const std::string& part,
                                  std::vector<ExtraLabel>* labels) {
  if (!value.is_object() || value.members().size() != 1)
    return Problem{&value, part, "expected {NAME: $VARIABLE}, got " + describe_value(value)};
  const auto& [name, variable] = value.members().front();
  if (!is_name(name, false) || name.starts_with("__"))
    return Problem{&variable, part, "\"" + name + "\" cannot be a label; use letters, digits and `_`"};
  const auto is_taken = [&name = name](const ExtraLabel& label) { return label.name == name; };
  if (std::find(kOwnLabels.begin(), kOwnLabels.end(), name) != kOwnLabels.end() ||
      std::any_of(labels->begin(), labels->end(), is_taken))
    return Problem{&variable, part, "the metric has a label \"" + name + "\" already; choose another name"};
  if (!variable.is_string() || !variable.as_string().starts_with('$') ||
      !is_name(variable.as_string().substr(1), false))
    return Problem{&variable, part + "." + name,
                   "expected a variable such as $upstream_addr, got " + describe_value(variable)};
  labels->push_back({name, variable.as_string().substr(1)});
  return std::nullopt;
}

std::optional<Problem> read_labels(const Value& value, std::vector<ExtraLabel>* labels) {
  if (!value.is_array() || value.items().size() > kLabelsMax)
    return Problem{&value, ".extra_labels",
                   "expected a list of at most 8, each {NAME: $VARIABLE}, got " + describe_value(value)};
  for (size_t i = 0; i < value.items().size(); i++) {
    auto problem = read_label(value.items()[i], ".extra_labels[" + std::to_string(i) + "]", labels);
    if (problem) return problem;
  }
  return std::nullopt;
}

/// Sets `name` of `metrics` unless it is there already.
void set_default(Value& metrics, const std::string& name, const Value* value) {
  if (value == nullptr || value->is_null()) return;
  const Value* present = metrics.find(name);
  if (present == nullptr || present->is_null()) metrics.set(name, *value);
}

void set_listen(Value& metrics, const Value& prometheus) {
  const Value* enabled = prometheus.find("enable_export_server");
  if (enabled != nullptr && enabled->is_bool() && !enabled->as_bool()) {
    Value off = Value::string("off");
    off.set_place(enabled->file(), enabled->line());
    return set_default(metrics, "listen", &off);
  }
  const Value* address = prometheus.find("export_addr");
  if (address == nullptr || !address->is_object()) return set_default(metrics, "listen", address);
  const Value* port = address->find("port");
  std::string text(address->get_string("ip", "127.0.0.1"));
  text = net::bracketed(std::move(text)) + ":" + (port == nullptr ? "9091" : base::scalar_text(*port));
  Value listen = Value::string(std::move(text));
  listen.set_place(address->file(), address->line());
  set_default(metrics, "listen", &listen);
}

}  // namespace

std::optional<std::string> normalize_page_path(std::string_view text) {
  if (text == "/healthz") return std::nullopt;  // is another page
  const bool is_path =
      text.starts_with('/') && text.size() <= kPathMax && std::all_of(text.begin(), text.end(), [](char c) {
        return c > 0x20 && c < 0x7F && c != '?' && c != '#' && c != '%';
      });
  return is_path ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<std::string> normalize_metric_prefix(std::string_view text) {
  return is_name(text, true) ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<Problem> read_latency_buckets(const Value& value, Settings& settings) {
  if (!value.is_array() || value.items().empty() || value.items().size() > kBucketsMax)
    return Problem{&value, "", "expected a list of 1 to 64 numbers, got " + describe_value(value)};
  std::vector<double> buckets;
  for (size_t i = 0; i < value.items().size(); i++) {
    const Value& item = value.items()[i];
    // They are kept in whole microseconds.
    const bool is_fine =
        item.is_number() && item.as_number() >= kBucketMin && item.as_number() <= kBucketMax &&
        (i == 0 || std::llround(item.as_number() * 1000) > std::llround(buckets.back() * 1000));
    if (!is_fine)
      return Problem{
          &item, "[" + std::to_string(i) + "]",
          "expected milliseconds from 0.001 to 86400000, at least 0.001 more than the one before, got " +
              describe_value(item)};
    buckets.push_back(item.as_number());
  }
  settings.metrics.latency_buckets_ms = std::move(buckets);
  return std::nullopt;
}

Value write_latency_buckets(const Settings& settings) {
  Value list = Value::array();
  for (const double bucket : settings.metrics.latency_buckets_ms)
    list.items().push_back(Value::number(bucket));
  return list;
}

template <TrafficMetric kMetric>
std::optional<Problem> read_traffic_metric(const Value& value, Settings& settings) {
  if (!value.is_object())
    return Problem{&value, "", "expected {extra_labels, expire}, got " + describe_value(value)};
  static constexpr std::array<std::string_view, 2> kKeys{"extra_labels", "expire"};
  TrafficMetricSettings read;
  for (const auto& [name, member] : value.members()) {
    if (std::find(kKeys.begin(), kKeys.end(), name) == kKeys.end())
      return Problem{&member, "", describe_unknown("key", name, kKeys)};
    if (member.is_null()) continue;
    if (name == "extra_labels") {
      if (auto problem = read_labels(member, &read.extra_labels)) return problem;
      continue;
    }
    const double seconds = member.is_number() ? member.as_number() : -1;
    if (seconds < 0 || seconds > kExpireMax || std::trunc(seconds) != seconds)
      return Problem{&member, ".expire",
                     "expected whole seconds from 0 (never) to 31536000, got " + describe_value(member)};
    read.expire = std::chrono::seconds(static_cast<int64_t>(seconds));
  }
  settings.metrics.traffic[static_cast<size_t>(kMetric)] = std::move(read);
  return std::nullopt;
}

template <TrafficMetric kMetric>
Value write_traffic_metric(const Settings& settings) {
  const TrafficMetricSettings& metric = settings.metrics.traffic[static_cast<size_t>(kMetric)];
  Value value = Value::object();
  Value& labels = value.set("extra_labels", Value::array());
  for (const ExtraLabel& label : metric.extra_labels) {
    Value one = Value::object();
    one.set(label.name, Value::string("$" + label.variable));
    labels.items().push_back(std::move(one));
  }
  value.set("expire", Value::number(static_cast<double>(metric.expire.count())));
  return value;
}

template std::optional<Problem> read_traffic_metric<TrafficMetric::kHttpStatus>(const Value&, Settings&);
template std::optional<Problem> read_traffic_metric<TrafficMetric::kHttpLatency>(const Value&, Settings&);
template std::optional<Problem> read_traffic_metric<TrafficMetric::kBandwidth>(const Value&, Settings&);
template Value write_traffic_metric<TrafficMetric::kHttpStatus>(const Settings&);
template Value write_traffic_metric<TrafficMetric::kHttpLatency>(const Settings&);
template Value write_traffic_metric<TrafficMetric::kBandwidth>(const Settings&);

Result<void> copy_prometheus_attributes(Value& root, const Places& places) {
  const Value* attributes = root.find("plugin_attr");
  const Value* found = attributes != nullptr ? attributes->find("prometheus") : nullptr;
  if (found == nullptr || found->is_null()) return {};
  const Value prometheus = *found;
  if (!prometheus.is_object())
    return places.error(prometheus, "plugin_attr.prometheus",
                        "expected a mapping, got " + describe_value(prometheus));
  Value* settings = root.find("moongate");
  if (settings == nullptr || settings->is_null()) settings = &root.set("moongate", Value::object());
  if (!settings->is_object()) return {};  // as the settings' own reader will say
  Value* metrics = settings->find("metrics");
  if (metrics == nullptr || metrics->is_null()) metrics = &settings->set("metrics", Value::object());
  if (!metrics->is_object()) {
    Value listen = *metrics;
    *metrics = Value::object();
    metrics->set("listen", std::move(listen));
  }
  set_listen(*metrics, prometheus);
  set_default(*metrics, "path", prometheus.find("export_uri"));
  set_default(*metrics, "prefix", prometheus.find("metric_prefix"));
  set_default(*metrics, "latency_buckets", prometheus.find("default_buckets"));
  const Value* each = prometheus.find("metrics");
  if (each == nullptr || each->is_null()) return {};
  for (const std::string name : {"http_status", "http_latency", "bandwidth"})
    set_default(*metrics, name, each->find(name));
  return {};
}

}  // namespace moongate::config
