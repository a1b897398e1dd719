// SPDX-License-Identifier: Apache-2.0
// What plugins cost and did in this worker, and which of them are in quarantine in all workers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shm/quarantine_board.h"
#include "snapshot/snapshot.h"

namespace moongate::script {

/// What plugins cost and did, for metrics; by plugin number.
struct PluginAccount {
  std::string name;
  uint64_t errors = 0;
};

/// The accounts of one worker.
///
/// Shape:   a list by plugin number; the verdicts are in shared memory, and a copy of those that concern this
///          worker's plugins is here.
/// Fails:   plugins beyond the numbers there are share account 0 and are never put in quarantine.
class PluginAccounts {
 public:
  static constexpr size_t kPluginsMax = 1024;

  /// `number_plugin`: the numbers all processes agree on; without it they are this object's own. `board` may
  /// be null: the verdicts are this object's own then, too.
  PluginAccounts(std::function<uint32_t(std::string_view)> number_plugin, shm::QuarantineBoard* board);

  int32_t number_of(std::string_view name);
  const std::vector<PluginAccount>& all() const { return accounts_; }
  /// "plugin NAME", or "a script".
  std::string describe(int32_t number) const;
  /// Null when the number is nobody's.
  PluginAccount* find(int32_t number);

  /// So many calls over budget are a quarantine; 0: there is none.
  void set_quarantine_limit(uint32_t limit) { limit_ = limit; }
  /// A call was over budget in an exchange of `now`, which serves.
  void strike(int32_t number, const snapshot::Snapshot& now);
  /// Ends the quarantines of plugins whose code or confs are not what they were.
  void adopt(const snapshot::Snapshot& now);
  /// The name of a plugin of this set that is in quarantine; empty when none is.
  std::string_view find_quarantined(const snapshot::PluginSet& set) {
    if (seen_changes_ != board_->changes()) refresh();
    return held_.empty() ? std::string_view() : find_held(set);
  }
  bool is_quarantined(int32_t number) const {
    return number > 0 && board_->is_quarantined(static_cast<uint32_t>(number));
  }

 private:
  void refresh();
  std::string_view find_held(const snapshot::PluginSet& set) const;

  std::function<uint32_t(std::string_view)> number_plugin_;
  std::unique_ptr<shm::QuarantineBoard> own_board_;
  shm::QuarantineBoard* board_;
  uint32_t limit_ = 20;
  uint32_t seen_changes_ = 0;
  std::vector<std::string> held_;  // names of those in quarantine
  std::vector<PluginAccount> accounts_;
};

}  // namespace moongate::script
