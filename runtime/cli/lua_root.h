// SPDX-License-Identifier: Apache-2.0
// Where the shipped Lua lies.
#pragma once

#include <string>

#include "base/result.h"

namespace moongate::cli {

/// The folder with lib/ and plugins/: MOONGATE_LUA, or share/moongate/lua beside the bin/ this program is in,
/// or lua/ two folders above the program, where a checkout has it.
base::Result<std::string> find_lua_root();

}  // namespace moongate::cli
