// SPDX-License-Identifier: Apache-2.0
// Gives control the Lua it needs to judge configurations: script::Checker behind control::Validator.
#pragma once

#include <string>

#include "control/validator.h"

namespace moongate::cli {

control::ValidatorFactory lua_validator_factory(const std::string& lua_root);

}  // namespace moongate::cli
