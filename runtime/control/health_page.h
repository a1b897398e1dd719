// SPDX-License-Identifier: Apache-2.0
// The Control API's answer about health, for people who look at it with a browser.
#pragma once

#include <string>

#include "base/value.h"

namespace moongate::control {

/// `checkers` is one checker or a list of them, as HealthChecks describes them.
std::string health_page(const base::Value& checkers);

}  // namespace moongate::control
