// SPDX-License-Identifier: Apache-2.0
// The functions of `moongate.native_socket`: sockets that wait without blocking. What plugins see on top of
// them is lua/lib/moongate/ngx/socket.lua.
#pragma once

struct lua_State;

namespace moongate::script {

/// Puts the table into package.loaded. Needs the state's host, which must be Host::current().
void register_socket_functions(lua_State* state);

}  // namespace moongate::script
