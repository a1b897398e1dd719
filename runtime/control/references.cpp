// SPDX-License-Identifier: Apache-2.0
#include "control/references.h"

#include <algorithm>

#include "base/json.h"

namespace moongate::control {

using base::Value;
using config::Kind;

namespace {

constexpr int kDepthMax = 100;

constexpr std::array<std::pair<Kind, std::string_view>, 7> kFields{{{Kind::kUpstream, "upstream_id"},
                                                                    {Kind::kService, "service_id"},
                                                                    {Kind::kPluginConfig, "plugin_config_id"},
                                                                    {Kind::kConsumerGroup, "group_id"},
                                                                    {Kind::kSsl, "client_cert_id"},
                                                                    {Kind::kProto, "proto_id"},
                                                                    {Kind::kStreamRoute, "superior_id"}}};

/// An id as text, also when it was written as a number.
std::string id_text(const Value* id) {
  if (id == nullptr) return "";
  if (id->is_string()) return id->as_string();
  return id->is_number() ? base::to_json(*id) : "";
}

bool has_reference(const Value& value, std::string_view field, std::string_view id, int depth) {
  if (depth > kDepthMax) return false;
  if (value.is_array()) {
    for (const Value& item : value.items()) {
      if (has_reference(item, field, id, depth + 1)) return true;
    }
  }
  if (!value.is_object()) return false;
  for (const auto& [key, member] : value.members()) {
    if (key == field && id_text(&member) == id) return true;
    if (has_reference(member, field, id, depth + 1)) return true;
  }
  return false;
}

void add_references(const Value* object, std::vector<ResourceKey>* out) {
  if (object == nullptr || !object->is_object()) return;
  for (const auto& [kind, field] : kFields) {
    std::string id = id_text(object->find(field));
    if (!id.empty()) out->emplace_back(kind, std::move(id));
  }
}

}  // namespace

std::string_view reference_field(Kind kind) {
  for (const auto& [target, field] : kFields) {
    if (target == kind) return field;
  }
  return {};
}

std::vector<ResourceKey> references_of(const ResourceKey& key, const Value& body) {
  std::vector<ResourceKey> out;
  add_references(&body, &out);
  const Value* upstream = body.find("upstream");
  for (const Value* object :
       {body.find("tls"), body.find("protocol"), upstream == nullptr ? nullptr : upstream->find("tls")})
    add_references(object, &out);
  if (const config::OwnedKind* owned = config::find_owned(key.first)) {
    const ResourceKey owner{owned->owner, config::owner_id(key.second)};
    if (std::find(out.begin(), out.end(), owner) == out.end()) out.push_back(owner);
  }
  return out;
}

bool refers_by_plugin(const Value& body, std::string_view field, std::string_view id) {
  const Value* plugins = body.find("plugins");
  return plugins != nullptr && has_reference(*plugins, field, id, 0);
}

bool may_refer(std::string_view json, std::string_view field, std::string_view id) {
  const std::string key = "\"" + std::string(field) + "\":";
  for (size_t at = json.find(key); at != json.npos; at = json.find(key, at + 1)) {
    const std::string_view rest = json.substr(at + key.size());
    if (rest.starts_with(id)) return true;
    if (rest.starts_with('"') && rest.substr(1).starts_with(id)) return true;
  }
  return false;
}

std::string resource_name(const ResourceKey& key) {
  return std::string(config::kind_list_name(key.first)) + "/" + key.second;
}

std::optional<ResourceKey> parse_resource_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == name.npos) return std::nullopt;
  for (size_t i = 0; i < config::kKindCount; i++) {
    const auto kind = static_cast<Kind>(i);
    if (config::kind_list_name(kind) != name.substr(0, slash) || config::find_owned(kind) != nullptr)
      continue;
    const std::string id(name.substr(slash + 1));
    const config::OwnedKind* owned = config::find_owned_by(kind);
    const bool is_owned = owned != nullptr && id.find(owned->mark) != id.npos;
    return ResourceKey{is_owned ? owned->kind : kind, id};
  }
  return std::nullopt;
}

namespace {

size_t rank_of(Kind kind) {
  return static_cast<size_t>(std::find(kReferenceOrder.begin(), kReferenceOrder.end(), kind) -
                             kReferenceOrder.begin());
}

}  // namespace

bool comes_before(const StoredChange& a, const StoredChange& b) {
  if (a.value.has_value() != b.value.has_value()) return a.value.has_value();
  const size_t rank_a = rank_of(a.key.first);
  const size_t rank_b = rank_of(b.key.first);
  return a.value ? rank_a < rank_b : rank_a > rank_b;
}

}  // namespace moongate::control
