// SPDX-License-Identifier: Apache-2.0
// Where the nodes of an upstream are on the board of health (shm/health_board.h). Control gives out the slots
// and workers find them, so both take the keys from here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/resources.h"
#include "upstream/health.h"

namespace moongate::snapshot {

/// The nodes of an upstream with `checks`, in their order. `id` is the upstream's as in UpstreamOptions. A
/// node that stays in another version of the upstream keeps its key, unless the checks are others.
std::vector<upstream::Health::Watched> find_watched_nodes(const config::Upstream& conf,
                                                          const std::string& id);

/// Null for an upstream without checks, and without a board.
std::shared_ptr<upstream::Health> make_health(const config::Upstream& conf, const std::string& id,
                                              shm::HealthBoard* board);

}  // namespace moongate::snapshot
