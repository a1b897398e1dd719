// SPDX-License-Identifier: Apache-2.0
// Names of header fields as Lua uses them. Plugins name the same few headers in every request; each name is
// checked and taken apart when it first comes and is a small number from then on.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/fields.h"

namespace moongate::script {

/// The names of one worker.
///
/// Shape:   up to kNamesMax names that stay, numbered from kPassing; further ones share kPassing numbers in
///          turn, so that plugins may make up names for ever.
/// Owner:   one thread.
class FieldNames {
 public:
  static constexpr int kInvalid = -1;
  static constexpr int kPassing = 64;
  static constexpr int kNamesMax = 4096;

  static FieldNames& of_this_thread() {
    static thread_local FieldNames* names = nullptr;
    if (!names) names = new FieldNames;  // stays: fields of exchanges point at its texts
    return *names;
  }

  /// The number of a name; kInvalid when no field can be called so. A number below kPassing is good until
  /// some further names have been asked for.
  int find(std::string_view name);
  /// The field of that number, without a value. Its name lives as long as the thread, or in `arena`; the
  /// reference until the next call.
  const http::Field& field(int number, base::Arena& arena) {
    return number >= kPassing ? fields_[static_cast<size_t>(number - kPassing)]
                              : passing_field(number, arena);
  }

 private:
  FieldNames() : passing_(kPassing) {}
  const http::Field& passing_field(int number, base::Arena& arena);

  std::deque<std::string> texts_;  // what the fields' names point at
  std::vector<http::Field> fields_;
  std::unordered_map<std::string_view, int> numbers_;
  std::deque<std::string> passing_;
  int next_passing_ = 0;
  http::Field passing_field_;
};

}  // namespace moongate::script
