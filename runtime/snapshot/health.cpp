// SPDX-License-Identifier: Apache-2.0
#include "snapshot/health.h"

#include "snapshot/hash.h"

namespace moongate::snapshot {

using upstream::Health;

std::vector<Health::Watched> find_watched_nodes(const config::Upstream& conf, const std::string& id) {
  std::vector<Health::Watched> nodes;
  if (!conf.checks) return nodes;
  const uint64_t upstream_hash = hash64(id, conf.checks->print);
  nodes.reserve(conf.nodes.size());
  for (const config::Node& node : conf.nodes) {
    const bool is_unix = node.host.starts_with("unix:");
    std::string text = is_unix ? node.host : node.host + ":" + std::to_string(node.port);
    const uint64_t key = shm::HealthBoard::make_key(hash64(text, upstream_hash));
    nodes.push_back({key, std::move(text), node.weight > 0});
  }
  return nodes;
}

std::shared_ptr<Health> make_health(const config::Upstream& conf, const std::string& id,
                                    shm::HealthBoard* board) {
  if (board == nullptr || !conf.checks) return nullptr;
  return std::make_shared<Health>(*board, id, find_watched_nodes(conf, id), conf.checks->passive);
}

}  // namespace moongate::snapshot
