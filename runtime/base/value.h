// SPDX-License-Identifier: Apache-2.0
// The tree that configuration is read into, whatever it was written in (YAML, JSON, Lua). Every node knows
// the line it came from, so that an error can name file and line. Objects keep the order of their keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace moongate::base {

class Value {
 public:
  enum class Type : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, Value>;

  Value() = default;
  static Value null() { return Value(); }
  static Value boolean(bool truth);
  static Value number(double number);
  static Value string(std::string text);
  static Value array();
  static Value object();

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_number() const { return type_ == Type::kNumber; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }

  /// The accessors below require the matching type.
  bool as_bool() const {
    MG_ASSERT(is_bool());
    return number_ != 0;
  }
  double as_number() const {
    MG_ASSERT(is_number());
    return number_;
  }
  const std::string& as_string() const {
    MG_ASSERT(is_string());
    return text_;
  }
  const std::vector<Value>& items() const {
    MG_ASSERT(is_array());
    return items_;
  }
  std::vector<Value>& items() {
    MG_ASSERT(is_array());
    return items_;
  }
  const std::vector<Member>& members() const {
    MG_ASSERT(is_object());
    return members_;
  }
  std::vector<Member>& members() {
    MG_ASSERT(is_object());
    return members_;
  }

  /// The member named `key`, or null when this is no object or has none.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  /// Sets a member, replacing one of that name in its place. Requires an object.
  Value& set(std::string key, Value value);
  /// Removes the member named `key`; false when there was none.
  bool remove(std::string_view key);

  /// `find` for the common types; the fallback when the member is missing or of another type.
  std::string_view get_string(std::string_view key, std::string_view fallback = {}) const;
  double get_number(std::string_view key, double fallback) const;
  bool get_bool(std::string_view key, bool fallback) const;

  /// 1-based line in the source, 0 when unknown; the file is an index the reader gives meaning to.
  uint32_t line() const { return line_; }
  uint16_t file() const { return file_; }
  void set_place(uint16_t file, uint32_t line) {
    file_ = file;
    line_ = line;
  }

  /// Same content, whatever the order of keys and the places.
  bool operator==(const Value& other) const;

 private:
  Type type_ = Type::kNull;
  uint16_t file_ = 0;
  uint32_t line_ = 0;
  double number_ = 0;
  std::string text_;
  std::vector<Value> items_;
  std::vector<Member> members_;
};

}  // namespace moongate::base
