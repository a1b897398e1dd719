// SPDX-License-Identifier: Apache-2.0
// JSON text to and from Value. Strict (RFC 8259); objects with a repeated key and nesting deeper than 100 are
// errors. This is the only place that sees the JSON library. Not for hot paths.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/value.h"

namespace moongate::base {

/// The tree, or an error that names the line and column.
Result<Value> parse_json(std::string_view text);

/// The same for a file: nodes are placed in file `file_index`, and an error begins "line:column: ".
Result<Value> parse_json_file(std::string_view text, uint16_t file_index);

/// Compact text. With `is_canonical`, object keys are sorted, so equal content gives equal bytes.
std::string to_json(const Value& value, bool is_canonical = false);

/// A string's text as it is; of anything else the JSON: "80" for 80 and for "80".
std::string scalar_text(const Value& value);

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace moongate::base
