// SPDX-License-Identifier: Apache-2.0
// Reads the members of one object into fields, remembering the first mistake, so that a resource's parser is
// a list of its fields and one check at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace moongate::config {

class FieldReader {
 public:
  /// `where` ("upstream.nodes[2]", may be empty) names the object in errors. `object` must outlive the
  /// reader.
  FieldReader(const base::Value& object, std::string where);

  // A missing or null member leaves the field as it is; one of another type is the mistake.
  void read(std::string_view key, std::string* field);
  void read(std::string_view key, bool* field);
  void read(std::string_view key, std::optional<bool>* field);
  void read(std::string_view key, std::vector<std::string>* field);
  void read_whole(std::string_view key, int64_t min, int64_t max, int64_t* field);
  /// A number of seconds, 0 to a year.
  void read_seconds(std::string_view key, std::chrono::milliseconds* field);
  /// A text or a whole number, kept as text.
  void read_id(std::string_view key, std::string* field);
  /// One text under `one`, or several under `many`.
  void read_one_or_many(std::string_view one, std::string_view many, std::vector<std::string>* field);

  /// The member when it is there and not null; a mistake unless it is an object (a list).
  const base::Value* find_object(std::string_view key);
  const base::Value* find_list(std::string_view key);
  const base::Value* find(std::string_view key) const;

  /// "where.key".
  std::string path(std::string_view key) const;
  void fail(std::string_view key, std::string what);
  void fail_with(base::Error error);
  bool ok() const { return !error_.has_value(); }
  const base::Error& error() const { return *error_; }

 private:
  void expect(std::string_view key, std::string_view expected, const base::Value& got);

  const base::Value& object_;
  std::string where_;
  std::optional<base::Error> error_;
};

}  // namespace moongate::config
