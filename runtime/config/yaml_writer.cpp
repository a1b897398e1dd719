// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_writer.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/json.h"
#include "config/yaml_scalar.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr size_t kLineMax = 100;

/// True for a text that YAML reads as this text without quotes.
bool is_plain(std::string_view text) {
  const auto is_word = [](char c) { return base::is_alphanumeric(c) || c == '_' || c == '/'; };
  if (text.empty() || !is_word(text.front())) return false;
  if (!std::all_of(text.begin(), text.end(), [&](char c) { return is_word(c) || c == '-' || c == '.'; }))
    return false;
  const base::Result<Value> typed = type_plain_scalar(text);
  return typed && typed->is_string() && typed->as_string() == text;
}

std::string quoted(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    escaped.push_back(text[i]);
    if (text[i] == '$' && text.substr(i + 1).starts_with('{')) escaped.push_back('$');
  }
  std::string out;
  base::append_json_string(out, escaped);
  return out;
}

std::string scalar(const Value& value) {
  return value.is_string() ? quoted(value.as_string()) : base::to_json(value);
}

bool is_scalar(const Value& value) { return !value.is_array() && !value.is_object(); }

/// A list in one line; empty when it does not fit or holds more than scalars.
std::string line_of(const Value& list, size_t indent) {
  std::string line = "[";
  for (const Value& item : list.items()) {
    if (!is_scalar(item)) return "";
    line += (line.size() > 1 ? ", " : "") + scalar(item);
  }
  line += "]";
  return line.size() + indent <= kLineMax ? line : "";
}

void write_block(const Value& value, size_t indent, std::string* out);

/// What stands behind "key:" or "-": on the same line, or as a block below it.
void write_value(const Value& value, size_t indent, std::string* out) {
  if (is_scalar(value)) {
    *out += " " + scalar(value) + "\n";
  } else if (value.is_object() ? value.members().empty() : value.items().empty()) {
    *out += value.is_object() ? " {}\n" : " []\n";
  } else if (const std::string line = value.is_array() ? line_of(value, indent) : ""; !line.empty()) {
    *out += " " + line + "\n";
  } else {
    *out += "\n";
    write_block(value, indent, out);
  }
}

void write_block(const Value& value, size_t indent, std::string* out) {
  const std::string margin(indent, ' ');
  if (value.is_array()) {
    for (const Value& item : value.items()) {
      std::string block;
      write_value(item, indent + 2, &block);
      // The first key of a mapping stands behind the dash.
      if (block.starts_with('\n')) block = " " + block.substr(1 + indent + 2);
      *out += margin + "-" + block;
    }
    return;
  }
  for (const auto& [key, member] : value.members()) {
    *out += margin + quoted(key) + ":";
    write_value(member, indent + 2, out);
  }
}

}  // namespace

std::string write_yaml(const Value& value) {
  std::string out;
  if (is_scalar(value) || (value.is_object() ? value.members().empty() : value.items().empty()))
    write_value(value, 0, &out);
  else
    write_block(value, 0, &out);
  return out.starts_with(' ') && is_scalar(value) ? out.substr(1) : out;
}

}  // namespace moongate::config
