// SPDX-License-Identifier: Apache-2.0
// The functions of `moongate.native_redis`: scripts run on Redis servers, over connections that all plugins
// of a worker share. What plugins see on top of them is lua/lib/moongate/redis.lua.
#pragma once

struct lua_State;

namespace moongate::script {

/// Puts the table into package.loaded. Needs the state's host, which must be Host::current().
void register_redis_functions(lua_State* state);

}  // namespace moongate::script
