// SPDX-License-Identifier: Apache-2.0
// Kong's routes as ours, so that every request finds the route that Kong would give it. The rule is in
// kong_routes.cpp.
#pragma once

#include "config/kong_plugins.h"

namespace moongate::config {

struct KongRouteList {
  base::Value routes = base::Value::array();
  bool has_hosts = false;  // then hosts must only be a condition: `moongate.router: radixtree_uri`
};

/// `global` are the plugins that routes without a service inherit.
KongRouteList make_kong_routes(const KongModel& model, KongPlugins& plugins, const base::Value& global,
                               KongFindings& findings);

}  // namespace moongate::config
