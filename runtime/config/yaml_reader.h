// SPDX-License-Identifier: Apache-2.0
// YAML text to the configuration tree, with the line of every value. Strict where YAML is lax: repeated keys,
// a second document and keys that are not scalars are errors; aliases and merge keys (`<<`) are expanded
// within limits, so that a few lines cannot become gigabytes. JSON is nearly a subset and is read too; .json
// files have their own reader.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/value.h"
#include "config/substitute.h"

namespace moongate::config {

struct YamlLimits {
  size_t text_max_bytes = size_t{64} << 20;
  size_t depth_max = 64;
  size_t nodes_max = 4'000'000;           // written in the text
  size_t expanded_nodes_max = 1'000'000;  // made by aliases
  size_t expanded_max_bytes = size_t{64} << 20;
};

/// The tree, null for an empty text. A member's line is its key's. Errors begin "line:column: ".
base::Result<base::Value> read_yaml(std::string_view text, uint16_t file_index);

/// The same, with variables replaced in scalars (see substitute.h). A plain scalar that is exactly one
/// substitution is typed by what replaces it, so that `port: ${PORT}` is a number.
base::Result<base::Value> read_yaml(std::string_view text, uint16_t file_index,
                                    const Environment& environment, const YamlLimits& limits = {});

}  // namespace moongate::config
