// SPDX-License-Identifier: Apache-2.0
#include "control/closed_names.h"

#include "base/ascii.h"
#include "base/json.h"

namespace moongate::control {

using base::Value;

std::string names_to_close(std::string_view json) {
  const base::Result<Value> body = base::parse_json(json);
  if (!body || !body->is_object() || body->get_string("type") == "client") return "";
  if (const Value* status = body->find("status"); status != nullptr && *status == Value::number(0)) return "";
  Value names = Value::array();
  const auto add = [&](const Value& name) {
    if (!name.is_string()) return;
    std::string text = base::lower_case(name.as_string());
    if (text.ends_with('.')) text.pop_back();
    if (text.empty()) return;  // would be those who name nobody
    names.items().push_back(Value::string(std::move(text)));
  };
  if (const Value* name = body->find("sni")) add(*name);
  if (const Value* list = body->find("snis"); list != nullptr && list->is_array()) {
    for (const Value& name : list->items()) add(name);
  }
  return names.items().empty() ? "" : base::to_json(names);
}

}  // namespace moongate::control
