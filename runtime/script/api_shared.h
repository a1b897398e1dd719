// SPDX-License-Identifier: Apache-2.0
// Gives the C functions for shared memory (api_shared_dict.cpp, api_limit.cpp) what they work on. They are
// called from Lua by name, without a handle of the runtime, so each process binds its dictionaries and
// limiters once, when it starts; before that there are no dictionaries, and every limiter answers that it has
// no room.
#pragma once

#include <vector>

#include "limit/tables.h"
#include "metrics/registry.h"
#include "shm/shared_dict.h"

namespace moongate::script {

/// The dictionaries that `ngx.shared` finds by name. Both must outlive every Lua state of the process.
void bind_shared_dicts(std::vector<shm::SharedDict>* dicts);
void bind_limit_tables(const limit::Tables* tables);
/// Counts decisions from now on.
void bind_limit_metrics(const metrics::Registry& registry);

}  // namespace moongate::script
