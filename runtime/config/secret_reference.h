// SPDX-License-Identifier: Apache-2.0
// References in plugin confs to texts that are kept elsewhere: `$env://NAME`, and `$env://NAME/key` for a
// member of the JSON object that the variable holds. Apart from substitute.h, which replaces ${NAME} while
// files are read: a reference stays one in the snapshot and on disk, and is resolved where it is used.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/substitute.h"

namespace moongate::config {

/// Whether a text is a reference: `$env://...` in any case, or `$secret://...`.
bool is_reference(std::string_view text);

/// What a reference stands for. The error says what is missing and what would be right; `$secret://` always
/// is one, as there are no secret managers.
base::Result<base::Value> resolve_reference(std::string_view text, const Environment& environment);

/// A reference that stands for nothing: the keys and indices that lead to it, and why.
struct ReferenceFault {
  std::vector<std::string> path;
  std::string what;
};

/// Replaces every reference below `value`, keys excepted, up to the first fault.
std::optional<ReferenceFault> resolve_references(base::Value& value, const Environment& environment);

/// The same for JSON and this process's environment; the text itself when it has no reference. The error
/// begins with where it is: ".key: what", "[0].key: what".
base::Result<std::string> resolve_json(const std::string& json);

}  // namespace moongate::config
