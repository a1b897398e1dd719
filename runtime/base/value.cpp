// SPDX-License-Identifier: Apache-2.0
// The members of Value that are more than a line. Lookups are linear: objects in configuration are small, and
// whoever builds a large one appends to members() and checks for repeated keys itself.
#include "base/value.h"

#include <algorithm>
#include <utility>

namespace moongate::base {

namespace {

using MemberPointers = std::vector<const Value::Member*>;

MemberPointers sorted_members(const std::vector<Value::Member>& members) {
  MemberPointers sorted;
  sorted.reserve(members.size());
  for (const Value::Member& member : members) sorted.push_back(&member);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  return sorted;
}

bool same_members(const std::vector<Value::Member>& left, const std::vector<Value::Member>& right) {
  if (left.size() != right.size()) return false;
  const MemberPointers a = sorted_members(left);
  const MemberPointers b = sorted_members(right);
  return std::equal(a.begin(), a.end(), b.begin(), [](const auto* x, const auto* y) { return *x == *y; });
}

// Most objects that are compared have their keys in the same order; only others pay for sorting.
bool same_key_order(const std::vector<Value::Member>& left, const std::vector<Value::Member>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first; });
}

}  // namespace

Value Value::boolean(bool truth) {
  Value value;
  value.type_ = Type::kBool;
  value.number_ = truth ? 1 : 0;
  return value;
}

Value Value::number(double number) {
  Value value;
  value.type_ = Type::kNumber;
  value.number_ = number;
  return value;
}

Value Value::string(std::string text) {
  Value value;
  value.type_ = Type::kString;
  value.text_ = std::move(text);
  return value;
}

Value Value::array() {
  Value value;
  value.type_ = Type::kArray;
  return value;
}

Value Value::object() {
  Value value;
  value.type_ = Type::kObject;
  return value;
}

const Value* Value::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : members_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Value* Value::find(std::string_view key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

Value& Value::set(std::string key, Value value) {
  MG_ASSERT(is_object());
  if (Value* present = find(key)) {
    // `value` may be a part of what it replaces, so it is moved out before the old tree goes.
    Value moved = std::move(value);
    *present = std::move(moved);
    return *present;
  }
  members_.emplace_back(std::move(key), std::move(value));
  return members_.back().second;
}

bool Value::remove(std::string_view key) {
  if (!is_object()) return false;
  const auto at =
      std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.first == key; });
  if (at == members_.end()) return false;
  members_.erase(at);
  return true;
}

std::string_view Value::get_string(std::string_view key, std::string_view fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_string() ? std::string_view(member->text_) : fallback;
}

double Value::get_number(std::string_view key, double fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_number() ? member->number_ : fallback;
}

bool Value::get_bool(std::string_view key, bool fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_bool() ? member->as_bool() : fallback;
}

bool Value::operator==(const Value& other) const {
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::kNull:
      return true;
    case Type::kBool:
    case Type::kNumber:
      return number_ == other.number_;
    case Type::kString:
      return text_ == other.text_;
    case Type::kArray:
      return items_ == other.items_;
    case Type::kObject:
      break;
  }
  if (same_key_order(members_, other.members_)) {
    return std::equal(members_.begin(), members_.end(), other.members_.begin(),
                      [](const Member& a, const Member& b) { return a.second == b.second; });
  }
  return same_members(members_, other.members_);
}

}  // namespace moongate::base
