// SPDX-License-Identifier: Apache-2.0
// What comes out of quarantine along with a change of something else. Control finds it right; a worker may
// still refuse it, and then it is not to be held against that change. Apart from live_configuration.h, which
// judges, because this remembers what workers have said from one snapshot to the next.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/resource_store.h"
#include "snapshot/refusal.h"

namespace moongate::control {

/// Shape:   of a snapshot that is refused those are held back whose plugins a worker has named. Where it
/// names
///          none, the next snapshot is made without any of them: if that one is taken they were to blame, and
///          halves of them tell, change by change, which one it was.
/// Owner:   the live configuration, which asks before it lets anything out.
class Releases {
 public:
  /// The next snapshot begins.
  void begin() { made_.clear(); }
  /// What workers have said of it; null: it may come out.
  const std::string* find_held(const ResourceKey& key) const;
  bool takes_more() const { return !is_barred_ && made_.size() < count_max_; }
  void add(const ResourceKey& key, std::string_view json) { made_.emplace_back(key, json); }

  /// Keeps back one that uses a plugin whose code workers refuse; false if it does not, or was kept already.
  bool hold(const ResourceKey& key, std::string_view json, const snapshot::PluginFaults& faults);
  const std::map<ResourceKey, std::string>& held() const { return held_; }

  /// The snapshot was refused for the code of some plugins. Whether it is to be made again without those that
  /// use them.
  bool blame(const snapshot::PluginFaults& faults);
  /// It was refused, and nobody knows for whom. Whether it is to be made again without any.
  bool doubt(const std::string& reason);
  /// It is served.
  void note_taken();

  /// It is another one now.
  void forget(const ResourceKey& key) { held_.erase(key); }
  /// The code may be another: what workers have said does not count any more.
  void forget_all() { *this = {}; }

 private:
  static constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

  std::vector<std::pair<ResourceKey, std::string>> made_;  // of this snapshot, with their JSON
  std::map<ResourceKey, std::string> held_;
  size_t count_max_ = kNoLimit;
  bool is_barred_ = false;
  std::vector<ResourceKey> doubted_;  // until a snapshot without them is taken
  std::string doubt_reason_;
};

}  // namespace moongate::control
