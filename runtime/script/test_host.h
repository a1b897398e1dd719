// SPDX-License-Identifier: Apache-2.0
// Runs plugin tests: `*_spec.lua` files in a plain Lua state of their own. No worker and no event loop live
// in this process; a spec starts a real gateway and talks to it. The kit itself is Lua,
// lua/lib/moongate/test/; what it needs of the system (processes, sockets, time) are the functions of
// test_functions.h.
#pragma once

#include <string>
#include <vector>

namespace moongate::script {

struct TestOptions {
  std::string lua_root;            // the folder with lib/ and plugins/
  std::vector<std::string> paths;  // spec files, and folders of them
  int jobs = 2;        // files at once, each in a process of its own; 1: one after another in this one
  std::string filter;  // only tests whose full name holds this text; empty: all
};

/// Runs the specs and prints what failed, then `N passed, N failed`; the exit status.
int run_tests(const TestOptions& options);

}  // namespace moongate::script
