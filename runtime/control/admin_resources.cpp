// SPDX-License-Identifier: Apache-2.0
#include "control/admin_resources.h"

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace moongate::control {

using base::Value;
using config::Kind;

namespace {

constexpr std::array<AdminResource, config::kKindCount> kResources{
    {{Kind::kRoute, "routes", "route", true, true},
     {Kind::kService, "services", "service", true, true},
     {Kind::kUpstream, "upstreams", "upstream", true, true},
     {Kind::kConsumer, "consumers", "consumer", false, false},
     {Kind::kCredential, "credentials", "credential", false, false},
     {Kind::kConsumerGroup, "consumer_groups", "consumer group", false, true},
     {Kind::kPluginConfig, "plugin_configs", "plugin config", false, true},
     {Kind::kGlobalRule, "global_rules", "global rule", false, true},
     {Kind::kPluginMetadata, "plugin_metadata", "plugin_metadata", false, false},
     {Kind::kSsl, "ssls", "ssl", true, true},
     {Kind::kProto, "protos", "proto", true, false},
     {Kind::kSecret, "secrets", "secret", false, true},
     {Kind::kStreamRoute, "stream_routes", "stream route", true, false},
     {Kind::kGraphqlCostDecoration, "graphql_cost_decorations", "graphql cost decoration", true, true}}};

// Parts of names whose values are nobody's business but the plugin's.
constexpr std::array<std::string_view, 11> kSecretWords{"password", "secret",     "token",   "private",
                                                        "passwd",   "credential", "api_key", "access_key",
                                                        "auth_key", "signing",    "keyring"};

}  // namespace

const AdminResource* find_admin_resource(std::string_view path) {
  const auto found = std::find_if(kResources.begin(), kResources.end(),
                                  [&](const AdminResource& one) { return one.path == path; });
  return found == kResources.end() || config::find_owned(found->kind) != nullptr ? nullptr : &*found;
}

const AdminResource& admin_resource(Kind kind) {
  const auto index = static_cast<size_t>(kind);
  MG_ASSERT(index < kResources.size() && kResources[index].kind == kind);
  return kResources[index];
}

std::optional<AdminTarget> find_target(const std::vector<std::string>& segments) {
  if (segments.empty()) return std::nullopt;
  AdminTarget target;
  target.resource = find_admin_resource(segments[0]);
  if (target.resource == nullptr) return std::nullopt;
  size_t used = 1;
  const config::OwnedKind* owned = config::find_owned_by(target.resource->kind);
  const bool is_owned =
      owned != nullptr && segments.size() > 2 && admin_resource(owned->kind).path == segments[2];
  if (owned != nullptr && owned->owner == Kind::kConsumer && segments.size() > 2 && !is_owned)
    return std::nullopt;
  if (is_owned) {
    target.resource = &admin_resource(owned->kind);
    target.parent = segments[1];
    used = std::min<size_t>(segments.size(), 4);
    if (used == 4) target.id = target.parent + std::string(owned->mark) + segments[3];
  } else if (target.resource->kind == Kind::kSecret) {
    used = std::min<size_t>(segments.size(), 3);
    for (size_t i = 1; i < used; i++) target.id += (i > 1 ? "/" : "") + segments[i];
  } else if (segments.size() > 1) {
    target.id = segments[1];
    used = 2;
  }
  target.sub_path.assign(segments.begin() + static_cast<std::ptrdiff_t>(used), segments.end());
  return target;
}

std::string admin_key(const ResourceKey& key) {
  return "/apisix/" + std::string(config::kind_list_name(key.first)) + "/" + key.second;
}

std::string admin_folder(Kind kind, const std::string& parent) {
  const config::OwnedKind* owned = config::find_owned(kind);
  std::string folder = "/apisix/" + std::string(config::kind_list_name(kind));
  if (owned != nullptr) folder += "/" + parent + std::string(owned->mark.substr(0, owned->mark.size() - 1));
  return folder;
}

std::string_view own_id(const ResourceKey& key) {
  const std::string_view id = key.second;
  return config::find_owned(key.first) != nullptr ? id.substr(id.rfind('/') + 1) : id;
}

Value shown_value(const ResourceKey& key, Value stored) {
  if (key.first == Kind::kSsl) {
    stored.remove("key");
    stored.remove("keys");
  }
  return stored;
}

Value value_of_file(const ResourceKey& key, Value body) {
  if (key.first == Kind::kPluginMetadata)
    body.remove("id");
  else if (config::find_owned(key.first) != nullptr)
    body.set("id", Value::string(std::string(own_id(key))));
  if (key.first == Kind::kGraphqlCostDecoration && body.find("service_id") == nullptr)
    body.set("service_id", Value::string(std::string(config::owner_id(key.second))));
  return body;
}

std::string describe_duplicate(const ResourceKey& key, std::string_view list) {
  const std::string_view noun = key.first == Kind::kConsumer     ? "username"
                                : key.first == Kind::kCredential ? "credential id"
                                                                 : "id";
  return "found duplicate " + std::string(noun) + " " + key.second + " in " + std::string(list);
}

bool is_secret_name(std::string_view name) {
  if (name == "key" || name == "keys" || name == "client_key" || name == "cert_key") return true;
  return std::any_of(kSecretWords.begin(), kSecretWords.end(),
                     [&](std::string_view word) { return name.find(word) != name.npos; });
}

Value masked_value(const Value& value) {
  if (value.is_array()) {
    Value out = Value::array();
    for (const Value& item : value.items()) out.items().push_back(masked_value(item));
    return out;
  }
  if (!value.is_object()) return value;
  Value out = Value::object();
  for (const auto& [name, member] : value.members())
    out.set(name, is_secret_name(name) ? Value::string("***") : masked_value(member));
  return out;
}

}  // namespace moongate::control
