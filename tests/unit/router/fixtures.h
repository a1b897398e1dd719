// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: variables from a map, a regex engine on std::regex, short ways to
// routes.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "router/regex.h"
#include "router/router_builder.h"

namespace moongate::router {

class MapVariables : public VariableSource {
 public:
  MapVariables() = default;
  MapVariables(std::initializer_list<std::pair<const std::string, std::string>> values) : texts(values) {}
  bool find(std::string_view name, std::string_view* value) override {
    auto at = texts.find(std::string(name));
    if (at == texts.end()) return false;
    *value = at->second;
    return true;
  }
  bool has_element(std::string_view name, std::string_view element) override {
    const auto& list = lists[std::string(name)];
    return std::find(list.begin(), list.end(), element) != list.end();
  }
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<std::string>> lists;
};

class StdRegexEngine : public RegexEngine {
 public:
  std::shared_ptr<Regex> compile(std::string_view pattern, bool is_caseless, std::string* error) override {
    struct Compiled : Regex {
      std::regex regex;
      bool find(std::string_view subject) const override {
        return std::regex_search(subject.begin(), subject.end(), regex);
      }
    };
    auto compiled = std::make_shared<Compiled>();
    try {
      compiled->regex.assign(
          pattern.begin(), pattern.end(),
          is_caseless ? std::regex::ECMAScript | std::regex::icase : std::regex::ECMAScript);
    } catch (const std::regex_error& failure) {
      *error = failure.what();
      return nullptr;
    }
    return compiled;
  }
};

inline base::Result<std::unique_ptr<Expression>> compile_json(std::string_view json) {
  auto value = base::parse_json(json);
  MG_ASSERT(value.ok());
  return Expression::compile(*value);
}

}  // namespace moongate::router
