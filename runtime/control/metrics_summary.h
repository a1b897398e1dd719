// SPDX-License-Identifier: Apache-2.0
// The counters that the status page needs, as JSON: by route and by plugin. Sums since the start; whoever
// asks twice has rates.
#pragma once

#include "base/value.h"
#include "metrics/registry.h"

namespace moongate::control {

/// {time_ms, bounds_s, routes: [{id, codes, buckets}], route_count, plugins: [{name, seconds,
/// errors}]}. The 500 routes with the most requests; the id is empty for requests without a route and null
/// for routes beyond the limit of series. Buckets are not cumulative, the last is above all bounds.
base::Value summarize_metrics(const metrics::Registry& registry);

}  // namespace moongate::control
