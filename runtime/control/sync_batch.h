// SPDX-License-Identifier: Apache-2.0
// What others wrote to the shared store, several changes at once: each is judged and served, or put in
// quarantine by itself. Apart from admin_batch.h, whose writes can be refused; these are made already.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/live_configuration.h"
#include "control/recheck.h"

namespace moongate::control {

/// What the shared store has of a resource, right or wrong; empty when it has none.
using FindJson = std::function<std::string(const ResourceKey&)>;
/// What may be served in place of `json`, the best first; empty ones do not count. `before` is the body that
/// is served now.
std::vector<std::string> stand_ins(const ResourceKey& key, const std::string& json, const std::string& before,
                                   const FindJson& find_json);

/// Applies changes.
///
/// Shape:   a resource that is wrong is replaced by a stand-in that lets nobody past: for a route, one with
///          the same conditions that answers 503; for what adds to others' rules, what it was before. Whoever
///          refers to what is gone or wrong is judged again.
/// Owner:   one job of control; the store and the configuration are control's.
class SyncBatch {
 public:
  SyncBatch(const ResourceStore& store, LiveConfiguration& live) : store_(store), live_(live) {}

  void add(const StoredChange& change);
  /// Judges again what was wrong, of the store's at most `how.job_count` from `how.from` on: what it lacked
  /// may have come. What a worker has refused only if `how.is_of_refused`, and not if it has just said so.
  /// Gives where to go on, or nothing at the end.
  std::optional<ResourceKey> recheck(const Recheck& how);
  /// Whether that has made anything right, which others may have waited for.
  bool has_mended() const { return has_mended_; }

  /// For the store; what is as it was before is left out.
  std::vector<StoredChange> changes() const;

 private:
  void put(const ResourceKey& key, StoredResource value);
  void remove(const ResourceKey& key);
  std::string choose_stand_in(const ResourceKey& key, const StoredResource& value);
  void judge_dependents(const ResourceKey& key);
  void judge_again(const ResourceKey& key);
  void try_again(const ResourceKey& key, const std::string& fault = {});
  const StoredResource* find(const ResourceKey& key) const;

  const ResourceStore& store_;
  LiveConfiguration& live_;
  std::map<ResourceKey, std::optional<StoredResource>> changed_;
  std::set<ResourceKey> judged_again_;
  bool has_mended_ = false;
};

}  // namespace moongate::control
