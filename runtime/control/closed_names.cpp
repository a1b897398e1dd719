// SPDX-License-Identifier: Apache-2.0
#include "control/closed_names.h"

#include <algorithm>

#include "base/json.h"
#include "config/resources.h"
#include "router/host_pattern.h"

namespace moongate::control {

using base::Value;
using config::Kind;

namespace {

/// Half of them would leave the other half to whoever else has a route there.
Value hosts_of(const base::Result<Value>& body) {
  const Value* hosts = body && body->is_object() ? body->find("hosts") : nullptr;
  if (hosts == nullptr || !hosts->is_array()) return Value::array();
  const bool are_right = std::all_of(hosts->items().begin(), hosts->items().end(), [](const Value& host) {
    return host.is_string() && router::check_host_pattern(host.as_string()).ok();
  });
  return are_right ? *hosts : Value::array();
}

}  // namespace

std::optional<snapshot::RecordKind> closed_kind(Kind kind) {
  if (kind == Kind::kSsl) return snapshot::RecordKind::kClosedNames;
  return kind == Kind::kService ? std::optional(snapshot::RecordKind::kClosedHosts) : std::nullopt;
}

std::string names_to_close(const ResourceKey& key, std::string_view json) {
  if (!closed_kind(key.first)) return "";
  const base::Result<Value> body = base::parse_json(json);
  if (key.first == Kind::kService) return base::to_json(hosts_of(body));
  if (!body || !body->is_object() || body->get_string("type") == "client") return "";
  if (const Value* status = body->find("status"); status != nullptr && *status == Value::number(0)) return "";
  Value names = Value::array();
  for (std::string& name : config::certificate_names(*body))
    names.items().push_back(Value::string(std::move(name)));
  return names.items().empty() ? "" : base::to_json(names);
}

}  // namespace moongate::control
