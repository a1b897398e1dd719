// SPDX-License-Identifier: Apache-2.0
// Gives control the Lua it needs to judge configurations: script::Checker behind control::Validator.
#pragma once

#include <string>

#include "control/validator.h"
#include "script/checker.h"

namespace moongate::cli {

/// Every load gets a VM of its own, with these limits.
control::ValidatorFactory lua_validator_factory(const std::string& lua_root,
                                                script::CheckerOptions limits = {});

}  // namespace moongate::cli
