// SPDX-License-Identifier: Apache-2.0
// How the router asks for the variables of a request (`uri`, `arg_x`, `http_x`, `cookie_x`, ...) without
// knowing what a request is. The exchange implements it; expression.h is the main reader.
#pragma once

#include <string_view>

namespace moongate::router {

/// The variables of one request.
///
/// Runs in: the worker's loop, while a route is being searched; a look-up must not wait.
/// Fails:   an unknown or unset variable is not found, which is not an error.
class VariableSource {
 public:
  virtual ~VariableSource() = default;

  /// Finds a variable that is a text. The view stays valid until the request ends.
  virtual bool find(std::string_view name, std::string_view* value) = 0;

  /// True when the variable `name` is a list (as `graphql_root_fields` is) and `element` is in it. Texts are
  /// no lists.
  virtual bool has_element(std::string_view name, std::string_view element) {
    (void)name, (void)element;
    return false;
  }
};

}  // namespace moongate::router
