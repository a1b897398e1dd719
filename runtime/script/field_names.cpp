// SPDX-License-Identifier: Apache-2.0
#include "script/field_names.h"

#include "base/assert.h"
#include "http/head.h"

namespace moongate::script {

int FieldNames::find(std::string_view name) {
  const auto known = numbers_.find(name);
  if (known != numbers_.end()) return known->second;
  if (!http::is_field_name(name)) return kInvalid;
  if (fields_.size() >= kNamesMax) {
    next_passing_ = (next_passing_ + 1) % kPassing;
    passing_[static_cast<size_t>(next_passing_)] = name;
    return next_passing_;
  }
  const std::string_view text = texts_.emplace_back(name);
  const int number = kPassing + static_cast<int>(fields_.size());
  fields_.emplace_back(text, std::string_view());
  numbers_.emplace(text, number);
  return number;
}

const http::Field& FieldNames::passing_field(int number, base::Arena& arena) {
  MG_ASSERT(number >= 0);
  passing_field_ = {arena.copy(passing_[static_cast<size_t>(number)]), {}};
  return passing_field_;
}

}  // namespace moongate::script
