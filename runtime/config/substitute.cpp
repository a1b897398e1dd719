// SPDX-License-Identifier: Apache-2.0
#include "config/substitute.h"

#include <cstdlib>

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr size_t kResultMaxBytes = size_t{16} << 20;

/// One `${...}` as written.
struct Reference {
  std::string name;
  std::optional<std::string> fallback;
  size_t length = 0;  // with its braces
};

bool is_name_start(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

// Reads the reference at the start of `text`, or nothing when it is some other use of `${`.
std::optional<Reference> parse_reference(std::string_view text) {
  const bool is_double = text.starts_with("${{");
  const std::string_view closing = is_double ? "}}" : "}";
  size_t at = is_double ? 3 : 2;
  const auto skip_spaces = [&] {
    while (is_double && at < text.size() && text[at] == ' ') ++at;
  };
  skip_spaces();
  const size_t name_start = at;
  if (at >= text.size() || !is_name_start(text[at])) return std::nullopt;
  while (at < text.size() && is_name_part(text[at])) ++at;
  Reference reference;
  reference.name = text.substr(name_start, at - name_start);
  skip_spaces();
  const std::string_view mark = is_double ? ":=" : ":-";
  if (text.substr(at, 2) == mark) {
    const size_t end = text.find(closing, at + 2);
    if (end == std::string_view::npos) return std::nullopt;
    reference.fallback = text.substr(at + 2, end - at - 2);
    at = end;
  }
  if (text.substr(at, closing.size()) != closing) return std::nullopt;
  reference.length = at + closing.size();
  const bool is_small = reference.name[0] >= 'a' && reference.name[0] <= 'z';
  if (!is_double && is_small && !reference.fallback) return std::nullopt;
  return reference;
}

base::Error not_set(const Reference& reference, std::string_view written) {
  return base::invalid("the environment variable " + reference.name +
                       " is not set; set it, give a default (${" + reference.name + ":-...}), or write $" +
                       std::string(written) + " for the text itself");
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

Result<Substituted> substitute(std::string_view text, const Environment& environment) {
  Substituted result;
  size_t at = 0;
  while (at < text.size()) {
    const size_t dollar = std::min(text.find('$', at), text.size());
    result.text.append(text.substr(at, dollar - at));
    at = dollar;
    if (at >= text.size()) break;
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("$${")) {
      result.text += "${";
      result.has_any = true;
      at += 3;
      continue;
    }
    const auto reference = rest.starts_with("${") ? parse_reference(rest) : std::nullopt;
    if (!reference) {
      result.text.push_back('$');
      ++at;
      continue;
    }
    auto value = environment(reference->name);
    if (!value) value = reference->fallback;
    if (!value) return not_set(*reference, rest.substr(0, reference->length));
    result.is_whole = dollar == 0 && reference->length == text.size();
    result.has_any = true;
    result.text += *value;
    at += reference->length;
    if (result.text.size() > kResultMaxBytes)
      return base::invalid("the text is longer than 16 MB once its variables are replaced");
  }
  return result;
}

std::optional<SubstituteError> substitute_tree(Value& value, const Environment& environment) {
  if (value.is_string()) {
    if (value.as_string().find('$') == std::string::npos) return std::nullopt;
    Result<Substituted> replaced = substitute(value.as_string(), environment);
    if (!replaced) return SubstituteError{&value, replaced.error().detail};
    Value text = Value::string(std::move(replaced->text));
    text.set_place(value.file(), value.line());
    value = std::move(text);
    return std::nullopt;
  }
  if (value.is_array()) {
    for (Value& item : value.items()) {
      if (auto error = substitute_tree(item, environment)) return error;
    }
  }
  if (value.is_object()) {
    for (Value::Member& member : value.members()) {
      if (auto error = substitute_tree(member.second, environment)) return error;
    }
  }
  return std::nullopt;
}

}  // namespace moongate::config
