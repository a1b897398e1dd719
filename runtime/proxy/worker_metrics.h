// SPDX-License-Identifier: Apache-2.0
// What the data path counts, and how rarely it has to look a counter up: a route's counters hang on the
// route.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "exchange/exchange.h"
#include "metrics/registry.h"
#include "proxy/context.h"
#include "shm/process_table.h"

namespace moongate::proxy {

/// The counters of one worker, in shared memory.
struct WorkerMetrics;
struct WorkerMetricsDeleter {
  void operator()(WorkerMetrics* metrics) const;
};
using WorkerMetricsOwner = std::unique_ptr<WorkerMetrics, WorkerMetricsDeleter>;

base::Result<WorkerMetricsOwner> make_worker_metrics(const metrics::Registry& registry,
                                                     shm::ProcessSlot& slot);

/// The snapshot that serves from now on says how requests are labelled.
void adopt_metrics(Context& context, const snapshot::Snapshot& snapshot);
/// Counts a finished exchange. Costs a few relaxed atomic adds.
void count_exchange(Context& context, exchange::Exchange& exchange);
void count_retry(Context& context);
void count_stall(Context& context);
/// Adds what a plugin used since the last call: CPU samples of 10 ms, and errors.
void count_plugin(Context& context, const std::string& name, uint64_t samples, uint64_t errors);
/// Adds how often a plugin was called in a phase since the last call.
void count_plugin_calls(Context& context, const std::string& name, exchange::Phase phase, uint64_t calls);

}  // namespace moongate::proxy
