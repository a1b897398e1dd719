// SPDX-License-Identifier: Apache-2.0
// What plugin prometheus has counted: requests by status, times and bytes, each by route, service, consumer
// and node, under APISIX's names. The plugin only says what is wanted (Exchange::traffic); this counts it
// when the exchange ends, so that it costs a few additions and no call into Lua.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/value.h"
#include "config/settings.h"
#include "exchange/exchange.h"
#include "metrics/registry.h"

namespace moongate::proxy {

/// The series of one worker's requests.
///
/// Shape:   one entry for each set of label values, found by their text; it keeps pointers to the series in
/// shared
///          memory. When there are too many entries, and when series were given back, all are forgotten.
/// Runs in: a worker, at the end of each counted exchange. Allocates for label values not seen before only.
class TrafficMetrics {
 public:
  explicit TrafficMetrics(const metrics::Registry& registry) : registry_(registry) {}

  /// Labels are as this snapshot has them from now on.
  void adopt(const snapshot::Snapshot& snapshot);
  /// Counts what exchange.traffic asks for.
  void count(exchange::Exchange& exchange);

 private:
  static constexpr size_t kEntriesMax = 20'000;

  /// Bits of labels, in the order in which they are written.
  enum Label : uint32_t {
    kRoute = 1,
    kMatchedUri = 2,
    kMatchedHost = 4,
    kService = 8,
    kConsumer = 16,
    kNode = 32,
    kRequestType = 64,
    kResponseSource = 128,
  };
  struct Metric {
    std::vector<config::ExtraLabel> extra_labels;
    uint32_t disabled = 0;  // labels whose value is left empty
  };
  struct StatusSeries {
    uint16_t status;
    exchange::AnswerSource source;
    metrics::Counter* requests;
  };
  /// All series of one set of label values.
  struct Entry {
    std::vector<StatusSeries> statuses;  // few, looked through
    metrics::Counter* ingress = nullptr;
    metrics::Counter* egress = nullptr;
    metrics::Histogram request, upstream, gateway;
  };
  /// What the labels of an exchange say.
  struct Values {
    std::string_view route, service, consumer, node, matched_uri, matched_host;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  static uint32_t disabled_labels(const base::Value* names);
  static Values values_of(exchange::Exchange& exchange);
  Entry& entry_of(exchange::Exchange& exchange, const Values& values);
  std::string labels_of(exchange::Exchange& exchange, config::TrafficMetric metric, const Values& values,
                        std::string_view first, exchange::AnswerSource source) const;
  void count_status(exchange::Exchange& exchange, const Values& values, Entry& entry, uint64_t date);
  void count_latency(exchange::Exchange& exchange, const Values& values, Entry& entry, uint64_t date);
  void count_bandwidth(exchange::Exchange& exchange, const Values& values, Entry& entry, uint64_t date);

  const metrics::Registry& registry_;
  Metric metrics_[config::kTrafficMetricCount];
  std::string metadata_;  // what `disabled` was read from
  std::unordered_map<std::string, Entry, TextHash, std::equal_to<>> entries_;
  uint32_t generation_ = 0;  // of the registry
  std::string key_;          // scratch
};

}  // namespace moongate::proxy
