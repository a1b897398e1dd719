// SPDX-License-Identifier: Apache-2.0
#include "control/releases.h"

#include "control/plugin_sources.h"

namespace moongate::control {

const std::string* Releases::find_held(const ResourceKey& key) const {
  const auto found = held_.find(key);
  return found == held_.end() ? nullptr : &found->second;
}

bool Releases::hold(const ResourceKey& key, std::string_view json, const snapshot::PluginFaults& faults) {
  const std::string fault = find_plugin_fault(key, json, faults);
  return !fault.empty() && held_.emplace(key, std::string(kRefusedByWorker) + fault).second;
}

bool Releases::blame(const snapshot::PluginFaults& faults) {
  bool is_any = false;
  for (const auto& [key, json] : made_) is_any = hold(key, json, faults) || is_any;
  return is_any;
}

bool Releases::doubt(const std::string& reason) {
  // Refused without any of them: it is not for them.
  doubted_.clear();
  if (made_.empty()) return false;
  for (const auto& [key, json] : made_) doubted_.push_back(key);
  doubt_reason_ = std::string(kRefusedByWorker) + reason;
  is_barred_ = true;
  return true;
}

void Releases::note_taken() {
  if (doubted_.size() == 1)
    held_[doubted_.front()] = doubt_reason_;
  else if (!doubted_.empty())
    count_max_ = doubted_.size() / 2;
  else if (!made_.empty())
    count_max_ = kNoLimit;
  is_barred_ = false;
  doubted_.clear();
  made_.clear();
}

}  // namespace moongate::control
