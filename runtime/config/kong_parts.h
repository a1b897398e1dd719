// SPDX-License-Identifier: Apache-2.0
// What the parts of Kong's translator have in common: an entity with its name in errors, a reader of its
// fields, and the list of what was found.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/kong.h"

namespace moongate::config {

/// One entity of the file: its mapping, which outlives the translation, and how errors name it.
struct KongItem {
  const base::Value* body = nullptr;
  std::string where;  // "services[0].routes[1]"
  std::string path(std::string_view key) const { return where + "." + std::string(key); }
};

/// Reads the fields of one item. A field that is null is as good as absent; one of another type is refused.
class KongReader {
 public:
  KongReader(const KongItem& item, KongFindings& findings) : item_(item), findings_(findings) {}

  const base::Value* find(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback = {}) const;
  int64_t whole(std::string_view key, int64_t min, int64_t max, int64_t fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  /// The items of a list of texts, with their places.
  std::vector<const base::Value*> texts(std::string_view key) const;
  const base::Value* object(std::string_view key) const;
  /// Refuses keys that are not in `known`.
  void check_keys(std::span<const std::string_view> known) const;
  /// Refuses each of `keys` that is there and not empty, saying `what`.
  void refuse_keys(std::span<const std::string_view> keys, std::string_view what) const;
  void refuse(std::string_view key, std::string_view what) const;

 private:
  const KongItem& item_;
  KongFindings& findings_;
};

/// Calls `visit(KongItem)` for the mappings of a list; refuses what is no list of mappings.
template <class Visit>
void visit_kong_list(const base::Value* list, const std::string& where, KongFindings& findings, Visit visit) {
  if (list == nullptr || list->is_null()) return;
  if (!list->is_array()) return findings.refuse(*list, where, "expected a list");
  for (size_t i = 0; i < list->items().size(); ++i) {
    const base::Value& body = list->items()[i];
    const std::string name = where + "[" + std::to_string(i) + "]";
    if (body.is_object())
      visit(KongItem{&body, name});
    else
      findings.refuse(body, name, "expected a mapping");
  }
}

/// `name` as an id of ours: what an id cannot hold becomes `-`, and 64 characters are enough.
std::string kong_id(std::string_view name);
/// Tags become labels, each with the value "tag".
void copy_kong_tags(const KongItem& item, KongFindings& findings, base::Value* resource);

}  // namespace moongate::config
