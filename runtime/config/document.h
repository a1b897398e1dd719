// SPDX-License-Identifier: Apache-2.0
// A whole configuration, sorted into resources. Only the outline is checked here: known keys, lists, ids.
// What a resource may contain is the schema's business (Lua), what the data path needs of it resources.h's.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "config/places.h"
#include "config/settings.h"

namespace moongate::config {

enum class Kind : uint8_t {
  kRoute,
  kService,
  kUpstream,
  kConsumer,
  kCredential,
  kConsumerGroup,
  kPluginConfig,
  kGlobalRule,
  kPluginMetadata,
  kSsl,
  kProto,
  kSecret,
  kStreamRoute,
  kGraphqlCostDecoration,
};
inline constexpr size_t kKindCount = 14;

/// "route", "plugin_metadata": the name of one.
std::string_view kind_name(Kind kind);
/// "routes", "plugin_metadata": the key of the list. What has an owner is listed among the owners.
std::string_view kind_list_name(Kind kind);

/// Resources that belong to another one: their ids are OWNER, mark and an id of their own.
struct OwnedKind {
  Kind kind;
  Kind owner;
  std::string_view mark;  // "/credentials/"
};
inline constexpr std::array<OwnedKind, 2> kOwnedKinds{
    {{Kind::kCredential, Kind::kConsumer, "/credentials/"},
     {Kind::kGraphqlCostDecoration, Kind::kService, "/graphql_cost_decorations/"}}};
/// Null for what belongs to nobody.
const OwnedKind* find_owned(Kind kind);
/// What belongs to resources of that kind; null when nothing does.
const OwnedKind* find_owned_by(Kind owner);
/// "jack" of "jack/credentials/c1".
std::string_view owner_id(std::string_view id);

struct Resource {
  Kind kind = Kind::kRoute;
  std::string id;          // text, also when it was written as a number; "OWNER/credentials/ID" of owned ones
  base::Value body;        // with its places; always an object
  size_t position = 0;     // in its list, from 0
  bool is_known = false;   // it was found to be right before, and nothing that decides on that has changed
  bool is_stored = false;  // made through the Admin API; no file has it
  uint64_t created_index = 0;  // in its store, once it is there
  /// "routes[0]", as errors name it; "routes/ID" of one that no file has.
  std::string name() const;
};

struct Document {
  /// What remains at the top once the lists of resources are taken out: `plugins`, `plugin_attr`, `moongate`.
  base::Value root;
  Settings settings;
  /// In the order of the file within each kind.
  std::vector<Resource> resources;
  /// What some of these refer to and nobody has now, which is no mistake of theirs: only id and kind.
  std::vector<Resource> absent = {};
};

/// Takes a merged tree apart. The first mistake is the error: "path:line: field: what; what would be right".
base::Result<Document> make_document(base::Value root, const Places& places);

}  // namespace moongate::config
