// SPDX-License-Identifier: Apache-2.0
#include "config/kong_parts.h"

#include <algorithm>
#include <cmath>

#include "base/ascii.h"
#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr size_t kIdMax = 64;

bool is_empty(const Value& value) {
  return value.is_null() || (value.is_array() && value.items().empty()) ||
         (value.is_object() && value.members().empty());
}

}  // namespace

const Value* KongReader::find(std::string_view key) const {
  const Value* member = item_.body->find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

void KongReader::refuse(std::string_view key, std::string_view what) const {
  const Value* member = item_.body->find(key);
  findings_.refuse(member != nullptr ? *member : *item_.body, item_.path(key), what);
}

std::string KongReader::text(std::string_view key, std::string_view fallback) const {
  const Value* member = find(key);
  if (member == nullptr) return std::string(fallback);
  if (member->is_string()) return member->as_string();
  refuse(key, "expected a text, got " + describe_value(*member));
  return std::string(fallback);
}

int64_t KongReader::whole(std::string_view key, int64_t min, int64_t max, int64_t fallback) const {
  const Value* member = find(key);
  if (member == nullptr) return fallback;
  const double number = member->is_number() ? member->as_number() : NAN;
  if (number >= static_cast<double>(min) && number <= static_cast<double>(max) &&
      std::trunc(number) == number)
    return static_cast<int64_t>(number);
  refuse(key, "expected a whole number from " + std::to_string(min) + " to " + std::to_string(max) +
                  ", got " + describe_value(*member));
  return fallback;
}

bool KongReader::flag(std::string_view key, bool fallback) const {
  const Value* member = find(key);
  if (member == nullptr) return fallback;
  if (member->is_bool()) return member->as_bool();
  refuse(key, "expected true or false, got " + describe_value(*member));
  return fallback;
}

std::vector<const Value*> KongReader::texts(std::string_view key) const {
  std::vector<const Value*> found;
  const Value* member = find(key);
  if (member == nullptr) return found;
  if (!member->is_array()) {
    refuse(key, "expected a list of texts, got " + describe_value(*member));
    return found;
  }
  for (const Value& text : member->items()) {
    if (text.is_string())
      found.push_back(&text);
    else
      findings_.refuse(text, item_.path(key), "expected a text, got " + describe_value(text));
  }
  return found;
}

const Value* KongReader::object(std::string_view key) const {
  const Value* member = find(key);
  if (member == nullptr || member->is_object()) return member;
  refuse(key, "expected a mapping, got " + describe_value(*member));
  return nullptr;
}

void KongReader::check_keys(std::span<const std::string_view> known) const {
  for (const auto& [key, value] : item_.body->members()) {
    // Times of creation say nothing to a gateway, nor does null, which exports are full of; what begins with
    // `_` is the author's note.
    if (value.is_null() || key.starts_with('_') || key == "created_at" || key == "updated_at") continue;
    if (std::find(known.begin(), known.end(), key) == known.end())
      findings_.refuse(value, item_.where, describe_unknown("key", key, known));
  }
}

void KongReader::refuse_keys(std::span<const std::string_view> keys, std::string_view what) const {
  for (const std::string_view key : keys) {
    const Value* member = find(key);
    if (member != nullptr && !is_empty(*member)) refuse(key, what);
  }
}

std::string kong_id(std::string_view name) {
  std::string id(name.substr(0, kIdMax));
  for (char& c : id) {
    const bool is_allowed = base::is_alphanumeric(c) || c == '_' || c == '-' || c == '.';
    if (!is_allowed) c = '-';
  }
  return id;
}

void copy_kong_tags(const KongItem& item, KongFindings& findings, Value* resource) {
  const std::vector<const Value*> tags = KongReader(item, findings).texts("tags");
  if (tags.empty()) return;
  Value labels = placed(Value::object(), *tags.front());
  for (const Value* tag : tags) labels.set(tag->as_string(), placed_text("tag", *tag));
  resource->set("labels", std::move(labels));
}

}  // namespace moongate::config
