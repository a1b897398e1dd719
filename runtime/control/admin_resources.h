// SPDX-License-Identifier: Apache-2.0
// The resources of the Admin API: their paths, what may be done with each, and the words it has for them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "control/resource_store.h"

namespace moongate::control {

struct AdminResource {
  config::Kind kind;
  std::string_view path;  // "routes"
  std::string_view noun;  // as messages name one: "global rule"
  bool has_post = false;
  bool has_patch = false;
};

const AdminResource* find_admin_resource(std::string_view path);
const AdminResource& admin_resource(config::Kind kind);

/// What a path below /apisix/admin/ means.
struct AdminTarget {
  const AdminResource* resource = nullptr;
  std::string id;      // as the store has it: "jack/credentials/c1", "vault/1"; empty: the list
  std::string parent;  // of what has an owner: its id
  std::vector<std::string> sub_path;  // of PATCH
};
/// Nothing when the path leads to no resource; `segments` are decoded.
std::optional<AdminTarget> find_target(const std::vector<std::string>& segments);

/// Whether a field of this name holds what must not be shown.
bool is_secret_name(std::string_view name);

/// "/apisix/routes/1"
std::string admin_key(const ResourceKey& key);
/// "/apisix/routes", "/apisix/consumers/jack/credentials"
std::string admin_folder(config::Kind kind, const std::string& parent);
/// The part of the id that clients see as `id`: "c1" of "jack/credentials/c1".
std::string_view own_id(const ResourceKey& key);
/// The object as answers show it: without what nobody may read back.
base::Value shown_value(const ResourceKey& key, base::Value stored);
/// The same from the form that configuration files have.
base::Value value_of_file(const ResourceKey& key, base::Value body);
/// "found duplicate username jack in consumers"
std::string describe_duplicate(const ResourceKey& key, std::string_view list);
/// Secrets replaced by `***`, for the audit log.
base::Value masked_value(const base::Value& value);

}  // namespace moongate::control
