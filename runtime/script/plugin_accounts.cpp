// SPDX-License-Identifier: Apache-2.0
#include "script/plugin_accounts.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "snapshot/hash.h"

namespace moongate::script {

using snapshot::PluginConf;
using snapshot::ScriptSource;
using snapshot::Snapshot;

namespace {

void add_confs(snapshot::Hasher& hasher, const std::vector<PluginConf>& plugins, std::string_view name) {
  for (const PluginConf& plugin : plugins) {
    if (plugin.name == name) hasher.add(*plugin.conf_json);
  }
}

// A hash of all that decides what the plugin does: its code with its libraries, and each of its confs. Every
// worker gets the same. Made only for a plugin that has something against it.
uint64_t print_of(const Snapshot& now, std::string_view name) {
  snapshot::Hasher hasher;
  for (const auto& source : now.plugin_sources) {
    if (source->name != name) continue;
    hasher.add(source->hash);
    if (source->is_shipped) continue;
    for (const auto& library : now.library_sources) hasher.add(library->hash);
  }
  hasher.add(now.plugin_attributes_json);
  auto metadata = now.plugin_metadata.find(std::string(name));
  if (metadata != now.plugin_metadata.end()) hasher.add(metadata->second);
  add_confs(hasher, now.global_plugins.plugins, name);
  now.each_route([&](const snapshot::Route& route) { add_confs(hasher, route.plugins.plugins, name); });
  for (const auto& consumer : now.consumers) add_confs(hasher, consumer->plugins, name);
  return hasher.finish().low;
}

}  // namespace

PluginAccounts::PluginAccounts(std::function<uint32_t(std::string_view)> number_plugin,
                               shm::QuarantineBoard* board)
    : number_plugin_(std::move(number_plugin)), board_(board), accounts_(1) {
  if (board_) return;
  own_board_ = std::make_unique<shm::QuarantineBoard>();
  board_ = own_board_.get();
}

int32_t PluginAccounts::number_of(std::string_view name) {
  size_t number = 0;
  if (number_plugin_) {
    number = number_plugin_(name);
  } else {
    for (number = 1; number < accounts_.size() && accounts_[number].name != name;) number++;
  }
  if (number >= kPluginsMax) number = 0;  // more plugins than the accounts hold: shared by the rest
  if (accounts_.size() <= number) accounts_.resize(number + 1);
  if (number > 0) accounts_[number].name = name;
  return static_cast<int32_t>(number);
}

PluginAccount* PluginAccounts::find(int32_t number) {
  if (number <= 0 || static_cast<size_t>(number) >= accounts_.size()) return nullptr;
  return &accounts_[static_cast<size_t>(number)];
}

std::string PluginAccounts::describe(int32_t number) const {
  if (number <= 0 || static_cast<size_t>(number) >= accounts_.size()) return "a script";
  return "plugin " + accounts_[static_cast<size_t>(number)].name;
}

void PluginAccounts::strike(int32_t number, const Snapshot& now) {
  PluginAccount* account = find(number);
  if (!account || limit_ == 0) return;
  if (!board_->strike(static_cast<uint32_t>(number), print_of(now, account->name), limit_)) return;
  MG_LOG(kAlert) << "plugin " << account->name << " was over its CPU budget " << limit_
                 << " times and is in quarantine: its routes answer 503 until its code or configuration "
                    "changes";
}

void PluginAccounts::adopt(const Snapshot& now) {
  std::set<uint32_t> present;
  for (const auto& source : now.plugin_sources) {
    auto number = static_cast<uint32_t>(number_of(source->name));
    present.insert(number);
    if (!board_->has_entry(number)) continue;
    if (board_->keep_only(number, print_of(now, source->name), limit_))
      MG_LOG(kNotice) << "plugin " << source->name << " changed and is out of quarantine";
  }
  for (uint32_t number = 1; number < shm::QuarantineBoard::kPluginsMax; number++) {
    if (board_->has_entry(number) && present.count(number) == 0) board_->keep_only(number, 0, 0);
  }
  refresh();
}

void PluginAccounts::refresh() {
  seen_changes_ = board_->changes();
  held_.clear();
  for (uint32_t number = 1; number < accounts_.size(); number++) {
    if (board_->is_quarantined(number)) held_.push_back(accounts_[number].name);
  }
}

std::string_view PluginAccounts::find_held(const snapshot::PluginSet& set) const {
  for (const PluginConf& plugin : set.plugins) {
    if (std::find(held_.begin(), held_.end(), plugin.name) != held_.end()) return plugin.name;
  }
  return {};
}

}  // namespace moongate::script
