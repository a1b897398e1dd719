// SPDX-License-Identifier: Apache-2.0
// `moongate plugin new`: a plugin, its test and a line about both, to begin with.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace moongate::cli {

/// Writes NAME.lua, NAME_spec.lua and README.md into `directory`, which is made when it is missing; what was
/// written. A README.md that is there gets one line more. Fails, and writes nothing, when the name is no
/// plugin name or a file is there already.
base::Result<std::vector<std::string>> write_plugin_template(const std::string& name,
                                                             const std::string& directory);

}  // namespace moongate::cli
