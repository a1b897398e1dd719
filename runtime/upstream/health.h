// SPDX-License-Identifier: Apache-2.0
// How the nodes of one upstream are, as a worker sees it on the board that all processes share
// (shm/health_board.h): which of them a balancer may choose, and what the answers of requests say about them.
// The checks that control makes are in control/health_checks.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/health_checks.h"
#include "shm/health_board.h"

namespace moongate::upstream {

/// What an answer with this status says under these rules; with a limit of 0: nothing.
shm::HealthReport judge_status(const config::CheckRules& rules, uint16_t status, bool is_passive);
shm::HealthReport judge_failure(const config::CheckRules& rules, bool is_timeout, bool is_passive);

/// Writes a verdict to the log. `detail` says more about its cause, and may be empty.
void log_verdict(const std::string& upstream, const std::string& node, const shm::HealthBoard::Change& change,
                 const shm::HealthReport& report, const std::string& detail = {});

/// One upstream's nodes on the board.
///
/// Shape:   the verdicts are copied when the board says that there is something new, so that a choice costs
/// one comparison while there is not.
/// Owner:   the upstream.
/// Runs in: one worker's loop.
class Health {
 public:
  struct Watched {
    uint64_t key = 0;
    std::string text;  // "host:port"
    bool has_weight = true;
  };
  Health(shm::HealthBoard& board, std::string upstream, std::vector<Watched> nodes,
         std::optional<config::CheckRules> passive);

  /// True when some nodes are to be passed over, and others are left; see may_use().
  bool has_choice() {
    if (board_.changes() != seen_) look();
    return has_choice_;
  }
  /// As of the last has_choice().
  bool may_use(size_t node) const { return is_usable_[node]; }

  /// An answer came. Counts for nothing without passive checks.
  void report_status(size_t node, uint16_t status) {
    if (passive_) report(node, judge_status(*passive_, status, true));
  }
  /// The node could not be reached, broke off, or let a timeout pass.
  void report_failure(size_t node, bool is_timeout) {
    if (passive_) report(node, judge_failure(*passive_, is_timeout, true));
  }

 private:
  void look();
  void report(size_t node, const shm::HealthReport& report);

  shm::HealthBoard& board_;
  std::string upstream_;
  std::vector<Watched> nodes_;
  std::vector<uint32_t> slots_;
  std::vector<bool> is_usable_;
  std::optional<config::CheckRules> passive_;
  uint32_t seen_ = 0;
  bool has_choice_ = false;
};

}  // namespace moongate::upstream
