// SPDX-License-Identifier: Apache-2.0
#include "script/resource_forms.h"

#include <algorithm>
#include <array>
#include <functional>

#include "base/json.h"

namespace moongate::script {

using base::Value;
using config::Resource;

namespace {

constexpr size_t kFormsMax = 65536;

// No rule of a route's schema, and none beside it, looks at one of these together with another field's value.
constexpr std::array<std::string_view, 7> kPlainFields{"desc", "host", "hosts", "id", "name", "uri", "uris"};

bool is_plain(std::string_view field) {
  return std::find(kPlainFields.begin(), kPlainFields.end(), field) != kPlainFields.end();
}

void mix(size_t* hash, size_t value) { *hash = (*hash ^ value) * 0x9e3779b97f4a7c15ULL + (*hash >> 29); }

void mix_text(size_t* hash, std::string_view text) { mix(hash, std::hash<std::string_view>()(text)); }

void mix_value(size_t* hash, const Value& value) {
  mix(hash, static_cast<size_t>(value.type()));
  switch (value.type()) {
    case Value::Type::kNull:
      return;
    case Value::Type::kBool:
      return mix(hash, value.as_bool() ? 1 : 0);
    case Value::Type::kNumber:
      return mix(hash, std::hash<double>()(value.as_number()));
    case Value::Type::kString:
      return mix_text(hash, value.as_string());
    case Value::Type::kArray:
      for (const Value& item : value.items()) mix_value(hash, item);
      return;
    case Value::Type::kObject:
      for (const auto& [key, member] : value.members()) {
        mix_text(hash, key);
        mix_value(hash, member);
      }
  }
}

size_t form_hash(const Resource& resource) {
  size_t hash = 0;
  for (const auto& [key, member] : resource.body.members()) {
    mix_text(&hash, key);
    if (!is_plain(key)) mix_value(&hash, member);
  }
  return hash;
}

bool has_same_form(const Resource& a, const Resource& b) {
  const auto is_same = [](const Value::Member& one, const Value::Member& other) {
    return one.first == other.first && (is_plain(one.first) || one.second == other.second);
  };
  const auto& left = a.body.members();
  const auto& right = b.body.members();
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), is_same);
}

}  // namespace

const Resource* ResourceForms::add(const Resource& resource) {
  // Of other kinds there are few, and routes refer to them.
  if (resource.kind != config::Kind::kRoute) return &resource;
  const size_t hash = form_hash(resource);
  const auto [begin, end] = first_.equal_range(hash);
  const auto same =
      std::find_if(begin, end, [&](const auto& entry) { return has_same_form(*entry.second, resource); });
  if (same != end) return same->second;
  if (first_.size() < kFormsMax) first_.emplace(hash, &resource);
  return &resource;
}

std::string ResourceForms::plain_json(const Resource& resource) {
  std::string json = "{";
  for (const auto& [key, member] : resource.body.members()) {
    if (!is_plain(key)) continue;
    if (json.size() > 1) json.push_back(',');
    base::append_json_string(json, key);
    json.push_back(':');
    json += base::to_json(member);
  }
  json.push_back('}');
  return json;
}

}  // namespace moongate::script
