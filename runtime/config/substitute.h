// SPDX-License-Identifier: Apache-2.0
// Environment variables inside configuration text: ${NAME}, ${NAME:-default}, and APISIX's ${{NAME}} and
// ${{NAME:=default}}. `$${` stands for a literal `${`.
//
// A ${name} that begins with a small letter and has no default stays as it is: that is how plugins write
// request variables (${remote_addr}), and files made for APISIX must keep their meaning. `$name`, `$env://`
// and
// `$secret://` are not touched either.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/value.h"

namespace moongate::config {

/// The value of an environment variable, or nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// Reads this process's environment.
Environment process_environment();

struct Substituted {
  std::string text;
  bool is_whole = false;  // the text was exactly one substitution
  bool has_any = false;
};

/// The text with its variables replaced; an error says which one is not set. Values are not looked into
/// again.
base::Result<Substituted> substitute(std::string_view text, const Environment& environment);

/// Replaces in every string below `value`, keys excepted. The error carries the value it is about.
struct SubstituteError {
  const base::Value* at;
  std::string what;
};
std::optional<SubstituteError> substitute_tree(base::Value& value, const Environment& environment);

}  // namespace moongate::config
