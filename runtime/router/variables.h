// SPDX-License-Identifier: Apache-2.0
// How the router asks for the variables of a request (`uri`, `arg_x`, `http_x`, `cookie_x`, ...) without
// knowing what a request is. The exchange implements it; expression.h is the main reader.
#pragma once

#include <string_view>

namespace moongate::router {

/// Whether a variable is of the request's body, which may have to be waited for and understood first.
inline bool is_body_variable(std::string_view name) {
  return name.starts_with("post_arg_") || name.starts_with("post_arg.") || name.starts_with("graphql_");
}

/// The variables of one request.
///
/// Runs in: the worker's loop, while a route is being searched; a look-up must not wait.
/// Fails:   an unknown or unset variable is not found, which is not an error.
class VariableSource {
 public:
  virtual ~VariableSource() = default;

  /// Finds a variable that is a text. The view stays valid until the request ends.
  virtual bool find(std::string_view name, std::string_view* value) = 0;

  /// The same for a variable of the body.
  virtual bool find_in_body(std::string_view name, std::string_view* value) { return find(name, value); }

  /// True when the variable `name` of the body is a list (as `graphql_root_fields` is) and `element` is in
  /// it. Texts are no lists, and what is not of the body is a text.
  virtual bool has_element(std::string_view name, std::string_view element) {
    (void)name, (void)element;
    return false;
  }
};

}  // namespace moongate::router
