// SPDX-License-Identifier: Apache-2.0
// The settings of the metrics page that have a shape of their own, and how APISIX's `plugin_attr.prometheus`
// says the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/settings_table.h"

namespace moongate::config {

/// A path of a page: begins with `/` and has neither query nor blanks.
std::optional<std::string> normalize_page_path(std::string_view text);
/// What names of metrics may begin with; empty for none.
std::optional<std::string> normalize_metric_prefix(std::string_view text);
std::optional<Problem> read_latency_buckets(const base::Value& value, Settings& settings);
base::Value write_latency_buckets(const Settings& settings);

/// {extra_labels: [{NAME: $VARIABLE}], expire: SECONDS}, for each of the metrics of plugin prometheus.
template <TrafficMetric kMetric>
std::optional<Problem> read_traffic_metric(const base::Value& value, Settings& settings);
template <TrafficMetric kMetric>
base::Value write_traffic_metric(const Settings& settings);

/// Copies what `plugin_attr.prometheus` of `root` says about the page to `moongate.metrics`, where that says
/// nothing itself.
base::Result<void> copy_prometheus_attributes(base::Value& root, const Places& places);

}  // namespace moongate::config
