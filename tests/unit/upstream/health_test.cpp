// SPDX-License-Identifier: Apache-2.0
// What a balancer makes of the verdicts on the board, and what answers and failures count for.
#include "upstream/health.h"

#include <set>

#include "upstream/upstream.h"
#include "upstream_fixture.h"

using namespace moongate;
using namespace moongate::upstream;
using shm::HealthBoard;
using shm::HealthEvent;
using shm::NodeHealth;

namespace {

config::CheckRules passive_rules() {
  config::CheckRules rules;
  rules.healthy.set(200);
  rules.unhealthy.set(500);
  rules.successes = 1;
  rules.http_failures = 2;
  rules.tcp_failures = 1;
  rules.timeouts = 0;
  return rules;
}

/// Nodes 10.0.0.1 and on, watched on a board of their own.
struct Fixture {
  explicit Fixture(size_t count, const std::string& type = "roundrobin", std::vector<int> priorities = {},
                   std::vector<uint32_t> weights = {}) {
    memory.resize(HealthBoard::size_bytes() / sizeof(uint64_t) + 1);
    board = HealthBoard::make(memory.data());
    std::vector<Node> nodes;
    std::vector<Health::Watched> watched;
    for (size_t i = 0; i < count; i++) {
      Node node;
      node.host = "10.0.0." + std::to_string(i + 1);
      node.port = 80;
      if (i < priorities.size()) node.priority = priorities[i];
      if (i < weights.size()) node.weight = weights[i];
      keys.push_back(HealthBoard::make_key((i + 1) << 34));
      slots.push_back(board->claim(keys.back()));
      watched.push_back({keys.back(), node.host + ":80", node.weight > 0});
      nodes.push_back(std::move(node));
    }
    UpstreamOptions options;
    options.type = type;
    options.health = std::make_shared<Health>(*board, "u", std::move(watched), passive_rules());
    upstream = Upstream::make(options, std::move(nodes), pool).take();
  }
  void find(size_t node, HealthEvent event) const {
    board->report(slots[node], keys[node], {{event, false, 0}, 1});
  }
  std::string pick(Tried& tried, std::string_view key = {}) const {
    const Node* node = upstream->pick(tried, key);
    return node != nullptr ? node->host : "none";
  }
  std::set<std::string> picked(int count = 12) const {
    std::set<std::string> hosts;
    for (int i = 0; i < count; i++) {
      Tried tried;
      hosts.insert(pick(tried, "key-" + std::to_string(i)));
    }
    return hosts;
  }

  std::vector<uint64_t> memory;
  HealthBoard* board = nullptr;
  std::vector<uint64_t> keys;
  std::vector<uint32_t> slots;
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  Pool pool{*loop};
  std::shared_ptr<Upstream> upstream;
};

}  // namespace

TEST_CASE("every balancer passes over a node that is not well until it is again") {
  for (const char* type : {"roundrobin", "least_conn", "chash"}) {
    INFO(type);
    const Fixture f(3, type);
    f.find(1, HealthEvent::kTcpFailure);
    CHECK(f.picked(60) == std::set<std::string>{"10.0.0.1", "10.0.0.3"});
    f.find(1, HealthEvent::kSuccess);
    CHECK(f.picked(60).size() == 3);
  }
}

TEST_CASE("keys of nodes that are well stay where they are") {
  const Fixture f(4, "chash");
  std::vector<std::string> before, now;
  for (auto* places : {&before, &now}) {
    for (int i = 0; i < 200; i++) {
      Tried tried;
      places->push_back(f.pick(tried, "key-" + std::to_string(i)));
    }
    f.find(2, HealthEvent::kTcpFailure);
  }
  for (size_t i = 0; i < before.size(); i++) {
    if (before[i] == "10.0.0.3")
      CHECK(now[i] != "10.0.0.3");
    else
      CHECK(now[i] == before[i]);
  }
}

TEST_CASE("when no node is well all are used") {
  const Fixture f(2);
  f.find(0, HealthEvent::kTimeout);
  f.find(1, HealthEvent::kTimeout);
  CHECK(f.picked().size() == 2);
}

TEST_CASE("a retry goes to no node that is not well, and to none twice") {
  const Fixture f(3);
  f.find(2, HealthEvent::kTimeout);
  Tried tried;
  const std::set<std::string> both{f.pick(tried), f.pick(tried)};
  CHECK(both == std::set<std::string>{"10.0.0.1", "10.0.0.2"});
  CHECK(f.pick(tried) == "none");
}

TEST_CASE("a lower priority is used while the higher ones are not well") {
  const Fixture f(3, "roundrobin", {5, 5, 0});
  CHECK(f.picked() == std::set<std::string>{"10.0.0.1", "10.0.0.2"});
  f.find(0, HealthEvent::kTimeout);
  f.find(1, HealthEvent::kTimeout);
  CHECK(f.picked() == std::set<std::string>{"10.0.0.3"});
}

TEST_CASE("a node without weight is no reason to leave the others alone") {
  const Fixture f(2, "roundrobin", {}, {1, 0});
  f.find(0, HealthEvent::kTimeout);
  CHECK(f.picked() == std::set<std::string>{"10.0.0.1"});
}

TEST_CASE("a single node is used however it is") {
  const Fixture f(1);
  f.find(0, HealthEvent::kTimeout);
  CHECK(f.picked() == std::set<std::string>{"10.0.0.1"});
}

TEST_CASE("answers count by their status, and what is in no list does not count") {
  const Fixture f(2);
  const Node& node = f.upstream->nodes()[0];
  f.upstream->note_answer(node, 500);
  f.upstream->note_answer(node, 404);
  CHECK(f.board->health(f.slots[0]) == NodeHealth::kMostlyHealthy);
  f.upstream->note_answer(node, 200);
  CHECK(f.board->health(f.slots[0]) == NodeHealth::kHealthy);
  f.upstream->note_answer(node, 500);
  f.upstream->note_answer(node, 500);
  CHECK(f.board->health(f.slots[0]) == NodeHealth::kUnhealthy);
  CHECK(f.board->read(f.slots[0]).cause->is_passive);
  CHECK(f.board->health(f.slots[1]) == NodeHealth::kHealthy);
  f.upstream->note_answer(node, 999);
  f.upstream->note_failure(f.upstream->nodes()[1], true);  // timeouts are switched off
  CHECK(f.board->health(f.slots[1]) == NodeHealth::kHealthy);
  f.upstream->note_failure(f.upstream->nodes()[1], false);
  CHECK(f.board->health(f.slots[1]) == NodeHealth::kUnhealthy);
}

TEST_CASE("a node of another upstream counts for nothing") {
  const Fixture f(2), other(2);
  f.upstream->note_failure(other.upstream->nodes()[0], false);
  CHECK(f.picked().size() == 2);
}

TEST_CASE("a slot that is given out after the upstream was made is found") {
  const Fixture f(2);
  f.board->keep_only({});
  CHECK(f.picked().size() == 2);
  f.upstream->note_failure(f.upstream->nodes()[0], false);
  const uint32_t slot = f.board->claim(f.keys[0]);
  CHECK(f.board->health(slot) == NodeHealth::kHealthy);
  f.upstream->note_failure(f.upstream->nodes()[0], false);
  CHECK(f.picked() == std::set<std::string>{"10.0.0.2"});
}

TEST_CASE("with checks of type tcp any answer is a success") {
  config::CheckRules rules = passive_rules();
  rules.is_by_status = false;
  CHECK(judge_status(rules, 500, true).cause.event == HealthEvent::kSuccess);
}
