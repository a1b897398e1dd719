// SPDX-License-Identifier: Apache-2.0
// The expression language of `vars`, `_meta.filter` and traffic rules: triples [variable, operator, value],
// joined by AND, OR, !AND, !OR. Compiled once from configuration, evaluated for every request that gets this
// far.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/value.h"
#include "router/variables.h"

namespace moongate::router {

/// The number that Lua's `tonumber` makes of a text: decimal, hexadecimal or binary (0x, 0b), inf and nan,
/// white space around it; nothing when it is no number.
std::optional<double> parse_lua_number(std::string_view text);

/// One compiled expression, immutable and shared between snapshots.
///
/// Runs in: any process; `evaluate` never waits and allocates nothing itself (the regex engine may).
/// Fails:   only in `compile`; a missing variable or a type that does not fit makes a comparison false (`~=`
/// true).
class Expression {
 public:
  /// The error's detail is what the Admin API shows, in APISIX's words where it has some. Patterns and
  /// addresses are compiled here, so a bad one is an error now and not a route that never matches.
  static base::Result<std::unique_ptr<Expression>> compile(const base::Value& rules);
  ~Expression();
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  bool evaluate(VariableSource& variables) const;

  struct Node;  // for the compiler beside `compile`

 private:
  explicit Expression(std::unique_ptr<Node> root);

  std::unique_ptr<Node> root_;
};

}  // namespace moongate::router
