// SPDX-License-Identifier: Apache-2.0
// Turns the rules of an expression, as read from configuration, into nodes. Everything that can be wrong is
// found here. The short error texts are the ones APISIX's users know.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/ascii.h"
#include "router/expression_node.h"

namespace moongate::router {

namespace {

using base::Result;
using base::Value;
using Node = Expression::Node;
using Operation = Node::Operation;
using Right = Node::Right;
using NodeResult = Result<std::unique_ptr<Node>>;

// Deeper nesting is a mistake, and the evaluator recurses.
constexpr int kDepthMax = 32;

struct OperatorName {
  std::string_view name;
  Operation operation;
};
constexpr std::array<OperatorName, 11> kOperators = {{
    {"==", Operation::kEqual},
    {"~=", Operation::kUnequal},
    {">", Operation::kGreater},
    {">=", Operation::kGreaterEqual},
    {"<", Operation::kLess},
    {"<=", Operation::kLessEqual},
    {"~~", Operation::kRegex},
    {"~*", Operation::kRegexCaseless},
    {"in", Operation::kIn},
    {"has", Operation::kHas},
    {"ipmatch", Operation::kIpMatch},
}};

const Operation* find_operator(std::string_view lower_name) {
  for (const OperatorName& entry : kOperators) {
    if (entry.name == lower_name) return &entry.operation;
  }
  return nullptr;
}

/// Reads "AND", "OR", "!AND", "!OR" in any case.
bool parse_logic(const Value& value, Operation* operation, bool* is_negated) {
  if (!value.is_string()) return false;
  std::string word = base::lower_case(value.as_string());
  *is_negated = !word.empty() && word[0] == '!';
  std::string_view name = std::string_view(word).substr(*is_negated ? 1 : 0);
  *operation = name == "or" ? Operation::kAny : Operation::kAll;
  return name == "or" || name == "and";
}

/// A number as Lua writes it into a text.
std::string number_text(double number) {
  char text[40];
  int size = std::snprintf(text, sizeof text, "%.14g", number);
  return std::string(text, static_cast<size_t>(size));
}

base::Error invalid_expression() { return base::invalid("invalid expression"); }

Result<void> compile_regex(Node& node, const Value& right) {
  if (!right.is_string() && !right.is_number()) return invalid_expression();
  std::string pattern = right.is_string() ? right.as_string() : number_text(right.as_number());
  RegexEngine* engine = regex_engine();
  if (engine == nullptr) return base::invalid("no regular expression engine is installed");
  std::string reason;
  node.regex = engine->compile(pattern, node.operation == Operation::kRegexCaseless, &reason);
  if (!node.regex) return base::invalid("invalid regular expression '" + pattern + "': " + reason);
  return {};
}

Result<void> compile_addresses(Node& node, const Value& right) {
  std::vector<std::string> texts;
  if (right.is_string()) {
    texts.push_back(right.as_string());
  } else if (right.is_array()) {
    for (const Value& item : right.items()) {
      if (!item.is_string()) return invalid_expression();
      texts.push_back(item.as_string());
    }
  } else {
    return invalid_expression();
  }
  auto addresses = AddressSet::parse(texts);
  if (!addresses) return addresses.error();
  node.addresses = addresses.take();
  return {};
}

/// Variables are texts, and a text equals no number in Lua: only the texts of the array can ever be met.
void compile_texts(Node& node, const Value& right) {
  if (!right.is_array()) return;
  for (const Value& item : right.items()) {
    if (item.is_string()) node.texts.push_back(item.as_string());
  }
  std::sort(node.texts.begin(), node.texts.end());
}

void set_right(Node& node, const Value& right) {
  node.right = right.is_null()     ? Right::kNil
               : right.is_number() ? Right::kNumber
               : right.is_string() ? Right::kText
                                   : Right::kOther;
  if (right.is_number()) node.number = right.as_number();
  if (right.is_string()) node.text = right.as_string();
}

Result<void> compile_right(Node& node, const Value& right) {
  set_right(node, right);
  switch (node.operation) {
    case Operation::kGreater:
    case Operation::kGreaterEqual:
    case Operation::kLess:
    case Operation::kLessEqual:
      if (node.right == Right::kText) {
        node.number = parse_lua_number(node.text).value_or(std::numeric_limits<double>::quiet_NaN());
      } else if (node.right != Right::kNumber) {
        node.number = std::numeric_limits<double>::quiet_NaN();
      }
      return {};
    case Operation::kRegex:
    case Operation::kRegexCaseless:
      return compile_regex(node, right);
    case Operation::kIn:
      compile_texts(node, right);
      return {};
    case Operation::kIpMatch:
      return compile_addresses(node, right);
    case Operation::kHas:
      if (node.right == Right::kNumber) {
        node.text = number_text(node.number);
        node.right = Right::kText;
      }
      return {};
    default:
      return {};
  }
}

/// [variable, value], [variable, operator, value] or [variable, "!", operator, value].
NodeResult compile_comparison(const std::vector<Value>& rule) {
  size_t count = rule.size();
  bool is_negated = count == 4;
  if (is_negated && !(rule[1].is_string() && rule[1].as_string() == "!")) {
    return base::invalid("bad 'not' expression");
  }
  if (count < 2 || count > 4 || !rule[0].is_string()) return invalid_expression();
  auto node = std::make_unique<Node>();
  node->variable = rule[0].as_string();
  node->is_of_body = is_body_variable(node->variable);
  node->is_negated = is_negated;
  const Value& name = rule[is_negated ? 2 : 1];
  if (count == 2) {
    // An operator without a value is a slip; a value in its place means "equals".
    if (name.is_null() || (name.is_string() && find_operator(base::lower_case(name.as_string()))))
      return invalid_expression();
    node->operation = Operation::kEqual;
  } else {
    if (!name.is_string()) return invalid_expression();
    std::string lower = base::lower_case(name.as_string());
    const Operation* operation = find_operator(lower);
    if (operation == nullptr) return base::invalid("invalid operator '" + lower + "'");
    node->operation = *operation;
  }
  auto compiled = compile_right(*node, rule[count - 1]);
  if (!compiled) return compiled.error();
  return node;
}

NodeResult compile_rule(const Value& rule, int depth);

NodeResult compile_children(std::unique_ptr<Node> node, const std::vector<Value>& rules, size_t first,
                            int depth) {
  for (size_t i = first; i < rules.size(); i++) {
    auto child = compile_rule(rules[i], depth + 1);
    if (!child) return child.error();
    node->children.push_back(child.take());
  }
  return node;
}

NodeResult compile_rule(const Value& rule, int depth) {
  if (depth > kDepthMax) return base::invalid("invalid expression: nested deeper than 32 levels");
  if (!rule.is_array()) return invalid_expression();
  const std::vector<Value>& items = rule.items();
  if (items.empty()) return base::invalid("rule too short");
  auto node = std::make_unique<Node>();
  if (items[0].is_array() || items[0].is_object()) return compile_children(std::move(node), items, 0, depth);
  if (!parse_logic(items[0], &node->operation, &node->is_negated)) return compile_comparison(items);
  if (items.size() < 3) return base::invalid("rule too short");
  return compile_children(std::move(node), items, 1, depth);
}

}  // namespace

NodeResult compile_expression(const Value& rules) {
  // An empty Lua table may have been written as `{}`.
  bool is_empty =
      (rules.is_array() && rules.items().empty()) || (rules.is_object() && rules.members().empty());
  if (is_empty) return std::make_unique<Node>();
  Operation operation;
  bool is_negated;
  if (!rules.is_array() || !(rules.items()[0].is_array() || rules.items()[0].is_object() ||
                             parse_logic(rules.items()[0], &operation, &is_negated))) {
    return base::invalid("rule should be wrapped inside brackets");
  }
  return compile_rule(rules, 1);
}

}  // namespace moongate::router
