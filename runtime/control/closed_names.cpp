// SPDX-License-Identifier: Apache-2.0
#include "control/closed_names.h"

#include "base/json.h"
#include "config/resources.h"

namespace moongate::control {

using base::Value;

std::string names_to_close(std::string_view json) {
  const base::Result<Value> body = base::parse_json(json);
  if (!body || !body->is_object() || body->get_string("type") == "client") return "";
  if (const Value* status = body->find("status"); status != nullptr && *status == Value::number(0)) return "";
  Value names = Value::array();
  for (std::string& name : config::certificate_names(*body))
    names.items().push_back(Value::string(std::move(name)));
  return names.items().empty() ? "" : base::to_json(names);
}

}  // namespace moongate::control
