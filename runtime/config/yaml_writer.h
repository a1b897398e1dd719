// SPDX-License-Identifier: Apache-2.0
// The configuration tree as YAML that people can read and yaml_reader.h reads back as the same tree.
#pragma once

#include <string>

#include "base/value.h"

namespace moongate::config {

/// Block style; short lists of scalars stand in one line. A `${` in a text is written `$${`, so that it is
/// not taken for a variable. Ends with a line feed.
std::string write_yaml(const base::Value& value);

}  // namespace moongate::config
