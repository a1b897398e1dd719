// SPDX-License-Identifier: Apache-2.0
// Routes and what belongs to them as JSON and as text, for `routes` and `explain`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "snapshot/snapshot.h"

namespace moongate::cli {

base::Value texts_value(const std::vector<std::string>& texts);
/// "a, b, c" of a list of texts; `none` when it is empty.
std::string joined(const base::Value& texts, std::string_view none);

/// Names of a route's methods; empty: any.
std::vector<std::string> methods_of(const router::RouteSpec& spec);

/// {id, name, uris, hosts, methods, priority, plugins, service, upstream, fault}
base::Value describe_route(const snapshot::Route& route, const router::RouteSpec& spec);
/// {id, type, scheme, nodes: [{address, weight, priority}]}; null when there is none.
base::Value describe_upstream(const upstream::Upstream* upstream);
/// "backend: 10.0.0.1:80, 10.0.0.2:80 (roundrobin)"
std::string upstream_text(const base::Value& upstream);

/// Prints rows below a head, in columns as wide as they need; control characters as `?`.
void print_table(const std::vector<std::vector<std::string>>& rows, std::string_view indent);

}  // namespace moongate::cli
