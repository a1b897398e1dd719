// SPDX-License-Identifier: Apache-2.0
// The entry: argv goes to cli/.
#include <string>
#include <vector>

#include "cli/command.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return moongate::cli::run(arguments, MOONGATE_VERSION);
}
