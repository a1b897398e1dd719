// SPDX-License-Identifier: Apache-2.0
// A clock that another process can move. A gateway started with MOONGATE_TEST_CLOCK=PATH maps the eight bytes
// of that file and adds them, as nanoseconds, to every reading of its clocks; the plugin test kit writes them
// (`gateway:advance`). Expiries, windows and timers then see the new time at the next turn of the loop, which
// any request brings about. A second eight bytes, if there are any, move the calendar alone, as whoever sets
// a machine's clock does.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace moongate::shm {

inline constexpr const char* kTestClockVariable = "MOONGATE_TEST_CLOCK";

/// Lets the clocks of this process, and of those it forks from now on, follow the file that the environment
/// names. Does nothing when it names none.
base::Result<void> follow_test_clock();

/// Makes the file, or changes it: its readers' clocks are `offset_ns` ahead from now on.
base::Result<void> write_test_clock(const std::string& path, int64_t offset_ns);

}  // namespace moongate::shm
