// SPDX-License-Identifier: Apache-2.0
#include "config/field_reader.h"

#include <cmath>

#include "base/json.h"
#include "config/setting_values.h"

namespace moongate::config {

using base::Value;

namespace {
constexpr double kSecondsMax = 365.0 * 86400;
}

FieldReader::FieldReader(const Value& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is_object()) fail("", "expected a mapping, got " + describe_value(object));
}

const Value* FieldReader::find(std::string_view key) const {
  const Value* member = object_.find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::string FieldReader::path(std::string_view key) const {
  if (where_.empty()) return std::string(key);
  return key.empty() ? where_ : where_ + "." + std::string(key);
}

void FieldReader::fail(std::string_view key, std::string what) {
  if (error_) return;
  const std::string field = path(key);
  error_ = base::invalid(field.empty() ? std::move(what) : field + ": " + what);
}

void FieldReader::fail_with(base::Error error) {
  if (!error_) error_ = std::move(error);
}

void FieldReader::expect(std::string_view key, std::string_view expected, const Value& got) {
  fail(key, "expected " + std::string(expected) + ", got " + describe_value(got));
}

void FieldReader::read(std::string_view key, std::string* field) {
  const Value* member = find(key);
  if (member == nullptr) return;
  if (!member->is_string()) return expect(key, "a text", *member);
  *field = member->as_string();
}

void FieldReader::read(std::string_view key, bool* field) {
  const Value* member = find(key);
  if (member == nullptr) return;
  if (!member->is_bool()) return expect(key, "true or false", *member);
  *field = member->as_bool();
}

void FieldReader::read(std::string_view key, std::optional<bool>* field) {
  bool truth = false;
  if (find(key) == nullptr) return;
  read(key, &truth);
  *field = truth;
}

void FieldReader::read(std::string_view key, std::vector<std::string>* field) {
  const Value* list = find_list(key);
  if (list == nullptr) return;
  field->clear();
  for (const Value& item : list->items()) {
    if (!item.is_string()) return expect(key, "a list of texts", item);
    field->push_back(item.as_string());
  }
}

void FieldReader::read_whole(std::string_view key, int64_t min, int64_t max, int64_t* field) {
  const Value* member = find(key);
  if (member == nullptr) return;
  const double number = member->is_number() ? member->as_number() : NAN;
  const bool fits = number >= static_cast<double>(min) && number <= static_cast<double>(max) &&
                    std::trunc(number) == number;
  if (!fits)
    return expect(key, "a whole number from " + std::to_string(min) + " to " + std::to_string(max), *member);
  *field = static_cast<int64_t>(number);
}

void FieldReader::read_seconds(std::string_view key, std::chrono::milliseconds* field) {
  const Value* member = find(key);
  if (member == nullptr) return;
  const double number = member->is_number() ? member->as_number() : NAN;
  if (!(number >= 0 && number <= kSecondsMax)) return expect(key, "a number of seconds", *member);
  // Less than a millisecond is still a limit, and 0 means none in places.
  *field = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(number * 1000)));
}

void FieldReader::read_id(std::string_view key, std::string* field) {
  const Value* member = find(key);
  if (member == nullptr) return;
  if (member->is_string()) {
    *field = member->as_string();
  } else if (member->is_number() && std::trunc(member->as_number()) == member->as_number()) {
    *field = base::to_json(*member);
  } else {
    expect(key, "a text or a whole number", *member);
  }
}

void FieldReader::read_one_or_many(std::string_view one, std::string_view many,
                                   std::vector<std::string>* field) {
  if (find(one) != nullptr && find(many) != nullptr) {
    return fail(many, "only one of " + std::string(one) + " or " + std::string(many) + " is allowed");
  }
  read(many, field);
  if (find(one) == nullptr) return;
  std::string text;
  read(one, &text);
  *field = {std::move(text)};
}

const Value* FieldReader::find_object(std::string_view key) {
  const Value* member = find(key);
  if (member == nullptr || member->is_object()) return member;
  expect(key, "a mapping", *member);
  return nullptr;
}

const Value* FieldReader::find_list(std::string_view key) {
  const Value* member = find(key);
  if (member == nullptr || member->is_array()) return member;
  expect(key, "a list", *member);
  return nullptr;
}

}  // namespace moongate::config
