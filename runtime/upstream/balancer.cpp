// SPDX-License-Identifier: Apache-2.0
// The ways to choose among nodes of equal priority. Candidates are what has not been tried and may be used.
#include <algorithm>
#include <numeric>

#include "upstream/upstream.h"

namespace moongate::upstream {
namespace {

using base::Result;

// Smooth weighted round robin: every node gains its weight, the richest is chosen and pays the total. Spreads
// a heavy node's turns evenly instead of giving them in a row.
class RoundRobin final : public Balancer {
 public:
  uint32_t pick(std::vector<Node>& nodes, const std::vector<uint32_t>& candidates,
                std::string_view) override {
    int64_t total = 0;
    uint32_t best = candidates[0];
    for (uint32_t index : candidates) {
      Node& node = nodes[index];
      node.current_weight += node.weight;
      total += node.weight;
      if (node.current_weight > nodes[best].current_weight) best = index;
    }
    nodes[best].current_weight -= total;
    return best;
  }
};

// The node with the fewest requests of this worker in flight for its weight; round robin among equals.
class LeastConnections final : public Balancer {
 public:
  uint32_t pick(std::vector<Node>& nodes, const std::vector<uint32_t>& candidates,
                std::string_view key) override {
    double least = 0;
    equals_.clear();
    for (uint32_t index : candidates) {
      const Node& node = nodes[index];
      double score = (1.0 + node.active) / node.weight;
      if (equals_.empty() || score < least) {
        least = score;
        equals_.assign(1, index);
      } else if (score == least) {
        equals_.push_back(index);
      }
    }
    return equals_.size() == 1 ? equals_[0] : turns_.pick(nodes, equals_, key);
  }

 private:
  std::vector<uint32_t> equals_;
  RoundRobin turns_;
};

uint64_t hash_text(std::string_view text, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

// Points on a ring, 160 for each unit of weight (weights divided by what they have in common, at most 100,000
// in all), so that a node that comes or goes moves only the keys that were or become its own. A node's points
// depend on its "host:port" alone: every worker and every gateway agrees.
class ConsistentHash final : public Balancer {
 public:
  explicit ConsistentHash(const std::vector<Node>& nodes) {
    uint64_t common = 0, total = 0;
    for (const Node& node : nodes) common = std::gcd(common, uint64_t{node.weight});
    if (common == 0) common = 1;
    for (const Node& node : nodes) total += node.weight / common;
    uint64_t per_unit = total == 0 ? 0 : std::clamp<uint64_t>(kPointsMax / total, 1, kPointsPerUnit);
    for (uint32_t i = 0; i < nodes.size(); i++) {
      uint64_t points = std::min(nodes[i].weight / common * per_unit, kPointsMax);
      for (uint64_t n = 0; n < points; n++) ring_.push_back({hash_text(nodes[i].text, n + 1), i});
    }
    std::sort(ring_.begin(), ring_.end());
  }

  uint32_t pick(std::vector<Node>&, const std::vector<uint32_t>& candidates, std::string_view key) override {
    if (ring_.empty()) return candidates[0];
    auto at = std::lower_bound(ring_.begin(), ring_.end(), Point{hash_text(key, 0), 0});
    for (size_t walked = 0; walked < ring_.size(); walked++, ++at) {
      if (at == ring_.end()) at = ring_.begin();
      if (std::binary_search(candidates.begin(), candidates.end(), at->node)) return at->node;
    }
    return candidates[0];
  }

 private:
  static constexpr uint64_t kPointsPerUnit = 160;
  static constexpr uint64_t kPointsMax = 100000;
  struct Point {
    uint64_t hash;
    uint32_t node;
    auto operator<=>(const Point&) const = default;
  };
  std::vector<Point> ring_;
};

}  // namespace

Result<std::unique_ptr<Balancer>> make_balancer(const std::string& type, const std::vector<Node>& nodes) {
  if (type == "roundrobin") return std::unique_ptr<Balancer>(std::make_unique<RoundRobin>());
  if (type == "least_conn") return std::unique_ptr<Balancer>(std::make_unique<LeastConnections>());
  if (type == "chash") return std::unique_ptr<Balancer>(std::make_unique<ConsistentHash>(nodes));
  return base::invalid("unknown balancer \"" + type +
                       "\"; this version has roundrobin, chash and least_conn");
}

}  // namespace moongate::upstream
