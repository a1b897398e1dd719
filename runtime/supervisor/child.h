// SPDX-License-Identifier: Apache-2.0
// Forking and burying children. The only place that forks processes of the instance.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace moongate::supervisor {

/// Forks. The child gets back the default signals but for SIGINT, SIGHUP and SIGPIPE, which it ignores; it
/// dies when its parent does; `main` is its life and gives its exit status. The pid.
base::Result<int> fork_child(const std::string& title, const std::function<int()>& main);

/// How a process ended, from wait(2)'s status: "ended with status 3", "was killed by SIGSEGV".
std::string describe_end(int wait_status);

}  // namespace moongate::supervisor
