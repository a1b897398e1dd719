// SPDX-License-Identifier: Apache-2.0
// The functions of `moongate.test.native`: what the test kit needs of the system. They may block, since
// nothing else runs in this process, but never beyond the time limit of the test that runs.
#pragma once

#include <luajit-2.1/lua.hpp>

namespace moongate::script {

/// Puts `moongate.test.native` into package.loaded.
void register_test_functions(lua_State* state);

// Each adds functions to the table on top of the stack.
void register_test_limit(lua_State* state);
void register_test_processes(lua_State* state);
void register_test_files(lua_State* state);
void register_test_sockets(lua_State* state);

/// Seconds on the monotonic clock.
double monotonic_seconds();

/// The milliseconds that poll() may wait on the way to `deadline`, on the clock above: a second at most, so
/// that the test's own limit is looked at. 0 when the deadline is over. Raises when the test's time limit is.
int poll_limit_ms(lua_State* state, double deadline);

}  // namespace moongate::script
