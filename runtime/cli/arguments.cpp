// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <algorithm>

#include "config/suggest.h"

namespace moongate::cli {

using base::Result;

namespace {

base::Error unknown_option(std::span<const OptionSpec> options, std::string_view option) {
  std::vector<std::string_view> known;
  for (const OptionSpec& spec : options) {
    known.push_back(spec.name);
    if (!spec.letter.empty()) known.push_back(spec.letter);
  }
  return base::invalid(config::describe_unknown("option", option, known));
}

const OptionSpec* find_option(std::span<const OptionSpec> options, std::string_view text) {
  const auto found = std::find_if(options.begin(), options.end(), [&](const OptionSpec& spec) {
    return spec.name == text || (!text.empty() && spec.letter == text);
  });
  return found == options.end() ? nullptr : &*found;
}

struct Split {
  std::string_view option;
  std::string_view value;
  bool has_value = false;
};

/// "--config=FILE" and "-cFILE" carry their value with them.
Split split_option(std::string_view text) {
  if (text.substr(0, 2) == "--") {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return {text, {}, false};
    return {text.substr(0, equals), text.substr(equals + 1), true};
  }
  if (text.size() > 2) return {text.substr(0, 2), text.substr(2), true};
  return {text, {}, false};
}

}  // namespace

std::string Arguments::value(std::string_view name, std::string fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::move(fallback) : found->second.back();
}

std::vector<std::string> Arguments::values(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<Arguments> parse_arguments(std::span<const OptionSpec> options, std::span<const std::string> arguments,
                                  size_t words_max) {
  Arguments parsed;
  bool are_options_over = false;
  for (size_t i = 0; i < arguments.size(); i++) {
    const std::string_view text = arguments[i];
    if (are_options_over || text.size() < 2 || text.front() != '-') {
      if (parsed.words_.size() == words_max) return base::invalid("unexpected `" + std::string(text) + "`");
      parsed.words_.emplace_back(text);
      continue;
    }
    if (text == "--") {
      are_options_over = true;
      continue;
    }
    const Split split = split_option(text);
    const OptionSpec* spec = find_option(options, split.option);
    if (spec == nullptr) return unknown_option(options, split.option);
    if (spec->value.empty() && split.has_value)
      return base::invalid(std::string(spec->name) + " takes no value");
    std::string value(split.value);
    if (!spec->value.empty() && !split.has_value) {
      if (++i == arguments.size())
        return base::invalid(std::string(split.option) + " needs a value: " + std::string(spec->value));
      value = arguments[i];
    }
    std::vector<std::string>& values = parsed.values_[std::string(spec->name)];
    if (!values.empty() && !spec->is_repeatable)
      return base::invalid(std::string(split.option) + " is given twice");
    values.push_back(std::move(value));
  }
  for (const OptionSpec& spec : options) {
    if (spec.is_required && !parsed.has(spec.name)) {
      return base::invalid("missing " + std::string(spec.letter.empty() ? spec.name : spec.letter) + " " +
                           std::string(spec.value));
    }
  }
  return parsed;
}

std::string describe_options(std::span<const OptionSpec> options) {
  std::string text;
  for (const OptionSpec& spec : options) {
    std::string one(spec.letter.empty() ? spec.name : spec.letter);
    if (!spec.value.empty()) one += " " + std::string(spec.value);
    const std::string again = spec.is_repeatable ? " [" + one + " ...]" : "";
    text += (text.empty() ? "" : " ") + (spec.is_required ? one : "[" + one + "]") + again;
  }
  return text;
}

}  // namespace moongate::cli
