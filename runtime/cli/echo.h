// SPDX-License-Identifier: Apache-2.0
// `moongate echo`: a server to stand behind a gateway while one tries things out, and in tests.
#pragma once

#include <string>
#include <vector>

namespace moongate::cli {

/// Runs `moongate echo` with the arguments after the word; the exit status. Prints `listening on ADDR:PORT` when it serves.
int run_echo(const std::vector<std::string>& arguments);

}  // namespace moongate::cli
