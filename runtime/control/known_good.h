// SPDX-License-Identifier: Apache-2.0
// Which resources the last good configuration had, so that the next load checks only what is new: of 10,000
// routes one is edited, and judging all of them takes longer than everything else in a reload.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "config/document.h"
#include "snapshot/hash.h"

namespace moongate::control {

/// Shape:   one hash of everything that verdicts on resources depend on besides themselves (the code of
/// plugins,
///          what can be referred to), and one for each resource that was found to be right under it.
/// Owner:   control; lives from load to load.
class KnownGood {
 public:
  using Surroundings = snapshot::Hash128;

  /// Only kinds that are judged by themselves can be known; others are cheap, or are compared with each
  /// other.
  static bool can_know(config::Kind kind);
  static snapshot::Hash128 key_of(const config::Resource& resource, std::string_view body);

  bool has(const Surroundings& surroundings, const snapshot::Hash128& key) const {
    return surroundings == surroundings_ && keys_.count(key) > 0;
  }
  /// All of a configuration that is right; what was known before is forgotten.
  void replace(const Surroundings& surroundings, const std::vector<snapshot::Hash128>& keys);

  /// For replace_with() of another process of this program.
  std::string to_bytes() const;
  void replace_with(std::string_view bytes);

 private:
  struct Half {
    size_t operator()(const snapshot::Hash128& hash) const { return hash.low; }
  };
  Surroundings surroundings_;
  std::unordered_set<snapshot::Hash128, Half> keys_;
};

}  // namespace moongate::control
