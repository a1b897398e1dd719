// SPDX-License-Identifier: Apache-2.0
// The compiled form of an expression, shared by the compiler (expression_compiler.cpp) and the evaluator
// (expression.cpp). Nobody else includes this.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "router/address_set.h"
#include "router/expression.h"
#include "router/regex.h"

namespace moongate::router {

struct Expression::Node {
  enum class Operation : uint8_t {
    kAll,
    kAny,  // over `children`
    kEqual,
    kUnequal,
    kGreater,
    kGreaterEqual,
    kLess,
    kLessEqual,
    kRegex,
    kRegexCaseless,
    kIn,
    kHas,
    kIpMatch,
  };
  /// What the right side is; arrays exist only for kIn and kIpMatch, which keep them in their own form below.
  enum class Right : uint8_t { kNil, kNumber, kText, kOther };

  Operation operation = Operation::kAll;
  bool is_negated = false;
  bool is_of_body = false;  // see is_body_variable()
  Right right = Right::kNil;
  double number = 0;
  std::string variable;
  std::string text;
  std::vector<std::string> texts;  // kIn: the texts of the array, sorted
  std::shared_ptr<Regex> regex;
  AddressSet addresses;
  std::vector<std::unique_ptr<Node>> children;
};

/// Compiles the whole tree; an empty list gives a kAll without children.
base::Result<std::unique_ptr<Expression::Node>> compile_expression(const base::Value& rules);

}  // namespace moongate::router
