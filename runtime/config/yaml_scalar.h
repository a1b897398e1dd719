// SPDX-License-Identifier: Apache-2.0
// What an unquoted YAML scalar means. The rules are YAML 1.1's, as APISIX's users know them: yes, no, on and
// off are booleans, 0x1F, 0b11, 017 and 1_000 are numbers. One is left out on purpose: 22:22 is text, not
// 1342 in base 60.
#pragma once

#include <string_view>

#include "base/value.h"

namespace moongate::config {

/// The value of a plain scalar. Infinity and not-a-number are errors, since JSON cannot carry them.
base::Result<base::Value> type_plain_scalar(std::string_view text);

/// The value of a scalar with an explicit tag ("!!int" written out, as tag:yaml.org,2002:int).
base::Result<base::Value> type_tagged_scalar(std::string_view tag, std::string_view text);

}  // namespace moongate::config
