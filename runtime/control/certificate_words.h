// SPDX-License-Identifier: Apache-2.0
// What the Admin API says about certificates and keys that are none. Apart from resource_checks.h, which
// tells whoever edits a file what would be right: clients of the API compare these texts with APISIX's.
#pragma once

#include "base/result.h"
#include "base/value.h"

namespace moongate::control {

/// The first fault of an ssl whose schema is right. References that cannot be resolved are left to others.
base::Result<void> check_certificate_words(const base::Value& ssl);

}  // namespace moongate::control
