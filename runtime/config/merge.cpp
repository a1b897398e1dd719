// SPDX-License-Identifier: Apache-2.0
#include "config/merge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "base/json.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr std::array<std::string_view, 12> kResourceLists{
    "routes",       "services",        "upstreams", "consumers", "consumer_groups", "plugin_configs",
    "global_rules", "plugin_metadata", "ssls",      "protos",    "secrets",         "stream_routes"};
constexpr size_t kSmallObject = 16;

void merge_member(Value& base, Value::Member member) {
  Value* present = base.find(member.first);
  if (member.second.is_null()) {
    if (present != nullptr) base.remove(member.first);
    return;
  }
  if (present != nullptr && present->is_object() && member.second.is_object()) {
    merge_objects(*present, std::move(member.second));
    return;
  }
  base.set(std::move(member.first), std::move(member.second));
}

// Large objects (nodes, labels) would cost a search per key, so they get an index first.
void merge_large_objects(Value& base, Value later) {
  std::unordered_map<std::string, Value> pending;
  std::vector<std::string> order;
  for (Value::Member& member : later.members()) {
    order.push_back(member.first);
    pending.emplace(std::move(member.first), std::move(member.second));
  }
  std::unordered_set<std::string> deleted;
  for (Value::Member& member : base.members()) {
    const auto found = pending.find(member.first);
    if (found == pending.end()) continue;
    if (found->second.is_null()) {
      deleted.insert(member.first);
    } else if (member.second.is_object() && found->second.is_object()) {
      merge_objects(member.second, std::move(found->second));
    } else {
      member.second = std::move(found->second);
    }
    pending.erase(found);
  }
  std::erase_if(base.members(), [&](const Value::Member& member) { return deleted.count(member.first) > 0; });
  for (const std::string& key : order) {
    const auto found = pending.find(key);
    if (found != pending.end() && !found->second.is_null()) {
      base.members().emplace_back(key, std::move(found->second));
    }
  }
}

void merge_resources(Value& base, Value later) {
  std::unordered_map<std::string, size_t> by_id;
  for (size_t i = 0; i < base.items().size(); ++i) {
    std::string id = id_of(base.items()[i]);
    if (!id.empty()) by_id.emplace(std::move(id), i);
  }
  for (Value& item : later.items()) {
    const auto found = by_id.find(id_of(item));
    if (found != by_id.end() && item.is_object()) {
      merge_objects(base.items()[found->second], std::move(item));
    } else {
      base.items().push_back(std::move(item));
    }
  }
}

Result<void> assign_list_ids(std::string_view key, Value& list, std::string_view prefix,
                             const Places& places) {
  std::unordered_map<std::string, const Value*> seen;
  seen.reserve(list.items().size());
  for (size_t i = 0; i < list.items().size(); ++i) {
    Value& item = list.items()[i];
    if (!item.is_object()) continue;  // refused with its place when the document is made
    std::string id = id_of(item);
    if (id.empty() && item.find("id") == nullptr && item.find("username") == nullptr) {
      id = std::string(prefix) + "arr_" + std::to_string(i + 1);
      Value text = Value::string(id);
      text.set_place(item.file(), item.line());
      item.set("id", std::move(text));
    }
    const auto [present, is_new] = seen.emplace(id, &item);
    if (!is_new && !id.empty()) {
      const std::string field = std::string(key) + "[" + std::to_string(i) + "]";
      return places.error(item, field,
                          "the id `" + id + "` is taken by the one at " + places.of(*present->second) +
                              "; give each its own");
    }
  }
  return {};
}

}  // namespace

void merge_objects(Value& base, Value later) {
  if (later.members().size() > kSmallObject) {
    merge_large_objects(base, std::move(later));
    return;
  }
  for (Value::Member& member : later.members()) merge_member(base, std::move(member));
}

bool is_resource_list(std::string_view key) {
  return std::find(kResourceLists.begin(), kResourceLists.end(), key) != kResourceLists.end();
}

std::string id_of(const Value& resource) {
  for (const std::string_view key : {"id", "username"}) {
    const Value* id = resource.find(key);
    if (id == nullptr) continue;
    if (id->is_string()) return id->as_string();
    if (id->is_number() && std::trunc(id->as_number()) == id->as_number()) return base::to_json(*id);
    return "";
  }
  return "";
}

Result<void> assign_ids(Value& root, std::string_view prefix, const Places& places) {
  if (!root.is_object()) return {};
  for (Value::Member& member : root.members()) {
    if (!is_resource_list(member.first) || !member.second.is_array()) continue;
    if (auto assigned = assign_list_ids(member.first, member.second, prefix, places); !assigned)
      return assigned;
  }
  return {};
}

void merge_files(Value& base, Value later) {
  if (base.members().empty()) {
    std::erase_if(later.members(), [](const Value::Member& member) { return member.second.is_null(); });
    base = std::move(later);
    return;
  }
  for (Value::Member& member : later.members()) {
    Value* present = base.find(member.first);
    const bool are_lists = present != nullptr && present->is_array() && member.second.is_array();
    if (are_lists && is_resource_list(member.first)) {
      merge_resources(*present, std::move(member.second));
    } else {
      merge_member(base, std::move(member));
    }
  }
}

}  // namespace moongate::config
