// SPDX-License-Identifier: Apache-2.0
// Evaluates compiled expressions. The rules of each operator are APISIX's (which are Lua's);
// expression_compiler.cpp has checked everything that can be wrong with the right side.
#include "router/expression.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "router/expression_node.h"

namespace moongate::router {

namespace {

using Node = Expression::Node;
using Operation = Node::Operation;
using Right = Node::Right;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<double> parse_binary(std::string_view digits) {
  if (digits.empty()) return std::nullopt;
  double value = 0;
  for (char c : digits) {
    if (c != '0' && c != '1') return std::nullopt;
    value = value * 2 + (c - '0');
  }
  return value;
}

/// The part of a number behind its sign and base prefix. from_chars would take a second sign, so that is
/// refused.
std::optional<double> parse_unsigned(std::string_view text, std::chars_format format) {
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  if (text.find('(') != text.npos) return std::nullopt;  // nan(...)
  double value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, format);
  if (end != text.data() + text.size() || code == std::errc::invalid_argument) return std::nullopt;
  if (code == std::errc::result_out_of_range) {
    bool is_tiny = text.find("e-") != text.npos || text.find("E-") != text.npos ||
                   text.find("p-") != text.npos || text.find("P-") != text.npos || text[0] == '.' ||
                   text[0] == '0';
    return is_tiny ? 0 : std::numeric_limits<double>::infinity();
  }
  return value;
}

bool find_left(const Node& node, VariableSource& variables, std::string_view* left) {
  return node.is_of_body ? variables.find_in_body(node.variable, left) : variables.find(node.variable, left);
}

bool is_equal(const Node& node, VariableSource& variables) {
  std::string_view left;
  bool has_left = find_left(node, variables, &left);
  switch (node.right) {
    case Right::kNil:
      return !has_left;
    case Right::kText:
      return has_left && left == node.text;
    case Right::kNumber:
      break;
    case Right::kOther:
      return false;
  }
  if (!has_left) return false;
  auto number = parse_lua_number(left);
  return number && *number == node.number;
}

/// For > >= < <=: both sides as numbers, or false. `node.number` is NaN when the right side is none.
template <class Compare>
bool compare_numbers(const Node& node, VariableSource& variables, Compare compare) {
  std::string_view left;
  if (!find_left(node, variables, &left)) return false;
  auto number = parse_lua_number(left);
  return number && compare(*number, node.number);
}

bool is_address_in(const Node& node, VariableSource& variables) {
  std::string_view left;
  if (!find_left(node, variables, &left)) return false;
  auto address = parse_address(left);
  return address && node.addresses.contains(*address);
}

bool is_in_texts(const Node& node, VariableSource& variables) {
  std::string_view left;
  if (!find_left(node, variables, &left)) return false;
  return std::binary_search(node.texts.begin(), node.texts.end(), left, std::less<std::string_view>());
}

bool is_found(const Node& node, VariableSource& variables) {
  std::string_view left;
  return find_left(node, variables, &left) && node.regex->find(left);
}

bool evaluate_node(const Node& node, VariableSource& variables);

bool evaluate_positive(const Node& node, VariableSource& variables) {
  auto holds = [&](const std::unique_ptr<Node>& child) { return evaluate_node(*child, variables); };
  switch (node.operation) {
    case Operation::kAll:
      return std::all_of(node.children.begin(), node.children.end(), holds);
    case Operation::kAny:
      return std::any_of(node.children.begin(), node.children.end(), holds);
    case Operation::kEqual:
      return is_equal(node, variables);
    case Operation::kUnequal:
      return !is_equal(node, variables);
    case Operation::kGreater:
      return compare_numbers(node, variables, std::greater<>());
    case Operation::kGreaterEqual:
      return compare_numbers(node, variables, std::greater_equal<>());
    case Operation::kLess:
      return compare_numbers(node, variables, std::less<>());
    case Operation::kLessEqual:
      return compare_numbers(node, variables, std::less_equal<>());
    case Operation::kRegex:
    case Operation::kRegexCaseless:
      return is_found(node, variables);
    case Operation::kIn:
      return is_in_texts(node, variables);
    case Operation::kHas:
      return node.is_of_body && node.right == Right::kText && variables.has_element(node.variable, node.text);
    case Operation::kIpMatch:
      return is_address_in(node, variables);
  }
  return false;
}

bool evaluate_node(const Node& node, VariableSource& variables) {
  return evaluate_positive(node, variables) != node.is_negated;
}

}  // namespace

std::optional<double> parse_lua_number(std::string_view text) {
  text = trim(text);
  bool is_negative = !text.empty() && text[0] == '-';
  if (is_negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  std::optional<double> value;
  char second = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  if (second == 'b') {
    value = parse_binary(text.substr(2));
  } else if (second == 'x') {
    char third = static_cast<char>(text[2] | 0x20);
    if (third == 'i' || third == 'n') return std::nullopt;  // "0xinf" is no number
    value = parse_unsigned(text.substr(2), std::chars_format::hex);
  } else {
    value = parse_unsigned(text, std::chars_format::general);
  }
  if (value && is_negative) value = -*value;
  return value;
}

Expression::Expression(std::unique_ptr<Node> root) : root_(std::move(root)) {}
Expression::~Expression() = default;

base::Result<std::unique_ptr<Expression>> Expression::compile(const base::Value& rules) {
  auto root = compile_expression(rules);
  if (!root) return root.error();
  return std::unique_ptr<Expression>(new Expression(root.take()));
}

bool Expression::evaluate(VariableSource& variables) const { return evaluate_node(*root_, variables); }

}  // namespace moongate::router
