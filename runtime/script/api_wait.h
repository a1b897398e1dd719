// SPDX-License-Identifier: Apache-2.0
// The functions of `moongate.native_wait`: what waits, and timers.
#pragma once

struct lua_State;

namespace moongate::script {

class Host;

/// Puts the table into package.loaded.
void register_wait_functions(lua_State* state);
/// Runs every timer that waits, at once, with premature = true.
void run_timers_early(Host& host);

}  // namespace moongate::script
