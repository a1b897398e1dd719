// SPDX-License-Identifier: Apache-2.0
// What is told about the nodes that are looked after: to the Control API, the status and the metrics page.
#include "control/health_checks.h"
#include "control/times.h"
#include "metrics/labels.h"

namespace moongate::control {

using base::Clock;
using base::Value;

namespace {

constexpr size_t kLeftAloneShownMax = 100;

Value number(uint64_t value) { return Value::number(static_cast<double>(value)); }
Value text(std::string_view value) { return Value::string(std::string(value)); }

const char* type_name(const config::HealthChecks& conf) {
  if (!conf.active) return conf.passive && !conf.passive->is_by_status ? "tcp" : "http";
  switch (conf.active->type) {
    case config::ActiveCheck::Type::kHttps:
      return "https";
    case config::ActiveCheck::Type::kTcp:
      return "tcp";
    case config::ActiveCheck::Type::kHttp:
      break;
  }
  return "http";
}

}  // namespace

shm::NodeState HealthChecks::state_of(const Node& node) const {
  return node.slot == shm::HealthBoard::kNone ? shm::NodeState{} : board_->read(node.slot);
}

Value HealthChecks::describe(const Checker& checker) const {
  Value value = Value::object();
  value.set("name", text("/apisix/" + checker.kind + "/" + checker.id));
  value.set("type", text(type_name(checker.conf)));
  Value& nodes = value.set("nodes", Value::array());
  for (const auto& node : checker.nodes) {
    const shm::NodeState state = state_of(*node);
    Value one = Value::object();
    one.set("ip", text(node->address.empty() ? node->host : node->address));
    one.set("port", number(node->port));
    one.set("hostname", text(checker.host_sent.empty() ? node->host : checker.host_sent));
    one.set("status", text(shm::node_health_name(state.health)));
    Value& counter = one.set("counter", Value::object());
    constexpr std::string_view kNames[] = {"success", "http_failure", "tcp_failure", "timeout_failure"};
    for (size_t i = 0; i < state.counts.size(); i++)
      counter.set(std::string(kNames[i]), number(state.counts[i]));
    nodes.items().push_back(std::move(one));
  }
  return value;
}

Value HealthChecks::describe(const std::string& kind, const std::string& id) const {
  const auto found = checkers_.find(kind + "/" + id);
  return found == checkers_.end() ? Value::null() : describe(*found->second);
}

Value HealthChecks::describe_all() const {
  Value list = Value::array();
  size_t shown = 0;
  for (const auto& [key, checker] : checkers_) {
    if (shown >= kShownMax) break;
    shown += checker->nodes.size();
    list.items().push_back(describe(*checker));
  }
  return list;
}

Value HealthChecks::summarize() const {
  Value value = Value::object();
  size_t checked = 0;
  size_t left_alone = 0;
  Value list = Value::array();
  for (const auto& [key, checker] : checkers_) {
    for (const auto& node : checker->nodes) {
      checked++;
      const shm::NodeState state = state_of(*node);
      if (shm::is_usable(state.health)) continue;
      if (++left_alone > kLeftAloneShownMax) continue;
      Value one = Value::object();
      one.set("upstream", text(key));
      one.set("node", text(node->watched.text));
      one.set("status", text(shm::node_health_name(state.health)));
      std::string reason = state.cause ? shm::describe_cause(*state.cause) : std::string("unknown");
      const bool has_detail = state.cause && !state.cause->is_passive && !node->failure.empty();
      one.set("reason", text(has_detail ? reason + ": " + node->failure : reason));
      one.set("since", state.cause
                           ? text(time_text(to_ms(Clock::wall() - (Clock::steady() - state.changed_at))))
                           : Value::null());
      list.items().push_back(std::move(one));
    }
  }
  value.set("checked", number(checked));
  value.set("left_alone", number(left_alone));
  value.set("nodes", std::move(list));
  return value;
}

void HealthChecks::sample(std::vector<metrics::Sample>& samples) const {
  size_t shown = 0;
  for (const auto& [key, checker] : checkers_) {
    for (const auto& node : checker->nodes) {
      if (++shown > kShownMax) return;
      metrics::Labels labels;
      labels.add("name", "/apisix/" + key)
          .add("ip", node->address.empty() ? node->host : node->address)
          .add("port", std::to_string(node->port));
      const bool is_good = shm::is_usable(state_of(*node).health);
      samples.push_back({metrics::Family::kUpstreamStatus, std::string(labels.text()), is_good ? 1.0 : 0.0});
    }
  }
}

}  // namespace moongate::control
