// SPDX-License-Identifier: Apache-2.0
// What differs between two snapshots, by resource and field: for `moongate diff` and for the status page.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "snapshot/blob.h"

namespace moongate::control {

/// Bodies by name: "routes/1", "moongate" (the settings), "code of plugin echo". Views into the blob.
using SnapshotContent = std::map<std::string, std::string_view>;

/// Without what the Admin API has made when `has_stored` is false.
SnapshotContent content_of(const snapshot::BlobView& view, bool has_stored);

/// One field, by its way from the top. A side that is nothing does not have it.
struct FieldDifference {
  std::string path;
  std::optional<base::Value> before;
  std::optional<base::Value> after;
  bool is_secret = false;  // by its name, or by the name of what it is in
};

enum class DifferenceKind : char { kAdded = '+', kRemoved = '-', kChanged = '~' };

struct Difference {
  DifferenceKind kind;
  std::string name;
  std::vector<FieldDifference> fields;  // of a resource that changed; code has none
};

/// What was changed and removed, then what was added, each by name.
std::vector<Difference> compare(const SnapshotContent& before, const SnapshotContent& after);

/// For those who may not see secrets: {changes: [{change, name, fields: [{field, before, after}],
/// field_count}], change_count}. Long values and lists are cut; the counts are of all.
base::Value describe_differences(const std::vector<Difference>& differences);

}  // namespace moongate::control
