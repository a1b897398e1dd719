// SPDX-License-Identifier: Apache-2.0
// folder: router
// Compiles arbitrary JSON as an expression; what compiles is evaluated, and its negation must be its
// opposite.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "router/expression.h"
#include "router/regex.h"

using namespace moongate;
using namespace moongate::router;

namespace {

/// Finds plain text: the point is not the engine.
class PlainEngine : public RegexEngine {
 public:
  std::shared_ptr<Regex> compile(std::string_view pattern, bool, std::string* error) override {
    struct Plain : Regex {
      std::string text;
      bool find(std::string_view subject) const override { return subject.find(text) != subject.npos; }
    };
    if (pattern.find('(') != pattern.npos) {
      *error = "no groups here";
      return nullptr;
    }
    auto plain = std::make_shared<Plain>();
    plain->text = pattern;
    return plain;
  }
};

/// Every variable whose name has an even size is set, to its own name or to what follows its first letter.
class NameVariables : public VariableSource {
 public:
  bool find(std::string_view name, std::string_view* value) override {
    if (name.size() % 2 != 0) return false;
    *value = name.substr(name.empty() ? 0 : 1);
    return true;
  }
  bool has_element(std::string_view name, std::string_view element) override {
    return name.ends_with(element);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static PlainEngine engine;
  set_regex_engine(&engine);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  NameVariables variables;
  std::string_view value;
  variables.find(text, &value);
  (void)parse_lua_number(value);
  auto rules = base::parse_json(text);
  if (!rules) return 0;
  auto expression = Expression::compile(*rules);
  if (!expression) {
    MG_ASSERT(!expression.error().detail.empty());
    return 0;
  }
  bool is_true = expression.value()->evaluate(variables);
  // Not (rules and rules), one level deeper; too deep is the only way in which that may fail.
  base::Value negated = base::Value::array();
  negated.items().push_back(base::Value::string("!AND"));
  if (!rules->is_array() || rules->items().empty()) return 0;
  negated.items().push_back(*rules);
  negated.items().push_back(*rules);
  auto opposite = Expression::compile(negated);
  if (opposite) MG_ASSERT(opposite.value()->evaluate(variables) != is_true);
  return 0;
}
