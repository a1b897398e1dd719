// SPDX-License-Identifier: Apache-2.0
#include "control/load_notes.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr char kEndOfText = '\n';  // of which JSON has none

Value text_list(const std::vector<std::string>& texts) {
  Value list = Value::array();
  for (const std::string& text : texts) list.items().push_back(Value::string(text));
  return list;
}

std::vector<std::string> read_list(const Value& notes, const char* key) {
  std::vector<std::string> texts;
  const Value* list = notes.find(key);
  if (list == nullptr || !list->is_array()) return texts;
  for (const Value& item : list->items()) texts.push_back(base::scalar_text(item));
  return texts;
}

// Numbers of 64 bits are texts: JSON's are doubles.
uint64_t read_number(const Value& object, const char* key) {
  const std::string_view text = object.get_string(key);
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Value number_text(uint64_t number) { return Value::string(std::to_string(number)); }

}  // namespace

std::string write_notes(const LoadNotes& notes, const KnownGood& known) {
  Value value = Value::object();
  value.set("files", text_list(notes.files));
  value.set("folders", text_list(notes.folders));
  value.set("warnings", text_list(notes.warnings));
  value.set("file_hash_high", number_text(notes.file_hash.high));
  value.set("file_hash_low", number_text(notes.file_hash.low));
  Value& stamps = value.set("stamps", Value::object());
  for (const auto& [path, stamp] : notes.stamps) stamps.members().emplace_back(path, Value::string(stamp));
  Value& code = value.set("code", Value::object());
  for (const auto& [path, loaded_code] : notes.code) {
    Value one = Value::object();
    one.set("hash", number_text(loaded_code.hash));
    one.set("is_of_files", Value::boolean(loaded_code.is_of_files));
    code.members().emplace_back(path, std::move(one));
  }
  return base::to_json(value) + kEndOfText + known.to_bytes();
}

Result<LoadNotes> read_notes(std::string_view bytes, KnownGood* known) {
  const size_t end = std::min(bytes.find(kEndOfText), bytes.size());
  Result<Value> notes = base::parse_json(bytes.substr(0, end));
  if (!notes) return notes.error();
  LoadNotes read;
  read.files = read_list(*notes, "files");
  read.folders = read_list(*notes, "folders");
  read.warnings = read_list(*notes, "warnings");
  read.file_hash = {read_number(*notes, "file_hash_high"), read_number(*notes, "file_hash_low")};
  const Value* stamps = notes->find("stamps");
  const Value* code = notes->find("code");
  if (stamps == nullptr || !stamps->is_object() || code == nullptr || !code->is_object())
    return base::invalid("notes of a load without stamps or code");
  for (const auto& [path, stamp] : stamps->members()) read.stamps[path] = base::scalar_text(stamp);
  for (const auto& [path, one] : code->members())
    read.code[path] = {read_number(one, "hash"), one.get_bool("is_of_files", false)};
  known->replace_with(bytes.substr(std::min(end + 1, bytes.size())));
  return read;
}

}  // namespace moongate::control
