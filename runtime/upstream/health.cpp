// SPDX-License-Identifier: Apache-2.0
#include "upstream/health.h"

#include "base/log.h"

namespace moongate::upstream {

using shm::HealthBoard;
using shm::HealthEvent;
using shm::HealthReport;

HealthReport judge_status(const config::CheckRules& rules, uint16_t status, bool is_passive) {
  const auto report = [&](HealthEvent event, uint8_t limit) {
    return HealthReport{{event, is_passive, status}, limit};
  };
  const bool is_known = status < rules.healthy.size();
  if (!rules.is_by_status || (is_known && rules.healthy[status]))
    return report(HealthEvent::kSuccess, rules.successes);
  if (is_known && rules.unhealthy[status]) return report(HealthEvent::kHttpFailure, rules.http_failures);
  return {};
}

HealthReport judge_failure(const config::CheckRules& rules, bool is_timeout, bool is_passive) {
  if (is_timeout) return {{HealthEvent::kTimeout, is_passive, 0}, rules.timeouts};
  return {{HealthEvent::kTcpFailure, is_passive, 0}, rules.tcp_failures};
}

void log_verdict(const std::string& upstream, const std::string& node, const HealthBoard::Change& change,
                 const HealthReport& report, const std::string& detail) {
  const bool is_good = shm::is_usable(change.after);
  base::LogLine(is_good ? base::LogLevel::kNotice : base::LogLevel::kWarn)
      << "upstream " << upstream << " node " << node << " is " << shm::node_health_name(change.after)
      << (is_good ? ", and is used again: " : ", and is left alone: ") << shm::describe_cause(report.cause)
      << ", " << static_cast<unsigned>(change.count) << " in a row" << (detail.empty() ? "" : ": ") << detail;
}

Health::Health(HealthBoard& board, std::string upstream, std::vector<Watched> nodes,
               std::optional<config::CheckRules> passive)
    : board_(board),
      upstream_(std::move(upstream)),
      nodes_(std::move(nodes)),
      slots_(nodes_.size(), HealthBoard::kNone),
      is_usable_(nodes_.size(), true),
      passive_(std::move(passive)) {
  look();
}

/// Nodes without weight are never chosen, so they are no choice either.
void Health::look() {
  seen_ = board_.changes();
  size_t usable = 0;
  size_t unusable = 0;
  for (size_t i = 0; i < nodes_.size(); i++) {
    const Watched& node = nodes_[i];
    if (!board_.is_of(slots_[i], node.key)) slots_[i] = board_.find(node.key);
    is_usable_[i] = slots_[i] == HealthBoard::kNone || shm::is_usable(board_.health(slots_[i]));
    if (node.has_weight) ++(is_usable_[i] ? usable : unusable);
  }
  has_choice_ = usable > 0 && unusable > 0;
}

void Health::report(size_t node, const HealthReport& report) {
  if (report.limit == 0) return;
  if (board_.changes() != seen_) look();
  const HealthBoard::Change change = board_.report(slots_[node], nodes_[node].key, report);
  if (change.is_verdict()) log_verdict(upstream_, nodes_[node].text, change, report);
}

}  // namespace moongate::upstream
