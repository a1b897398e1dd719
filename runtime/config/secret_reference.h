// SPDX-License-Identifier: Apache-2.0
// References in plugin confs to texts that are kept elsewhere: `$env://NAME`, `$env://NAME/key` for a member
// of the JSON object that the variable holds, and `$secret://MANAGER/ID/PATH/KEY`, which
// lua/lib/moongate/secrets.lua resolves. Apart from substitute.h, which replaces ${NAME} while
// files are read: a reference stays one in the snapshot and on disk, and is resolved where it is used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/substitute.h"

namespace moongate::config {

/// Before a text that is encrypted under the keyring: see encrypted_fields.h.
inline constexpr std::string_view kEncryptedMark = "$aes://";

/// Whether a text is a reference: `$env://...` in any case, `$secret://...`, or `$aes://...`.
bool is_reference(std::string_view text);

/// What a reference to the environment stands for. The error says what is missing and what would be right;
/// `$secret://` always is one: only Lua can ask managers, when a request needs the value.
base::Result<base::Value> resolve_reference(std::string_view text, const Environment& environment);

/// A reference that stands for nothing: the keys and indices that lead to it, and why.
struct ReferenceFault {
  std::vector<std::string> path;
  std::string what;
};

/// Where `$secret://` may stand: it is left as it is, or is a fault.
enum class Managed : uint8_t { kKept, kRefused };

/// Replaces every reference to the environment below `value`, keys excepted, up to the first fault. One to a
/// manager must be well formed.
std::optional<ReferenceFault> resolve_references(base::Value& value, const Environment& environment,
                                                 Managed managed = Managed::kKept);

/// "vault/1" of "$secret://vault/1/path/key"; empty for what is no reference to a manager.
std::string_view manager_of(std::string_view text);

/// The same for JSON and this process's environment; the text itself when it has no reference. The error
/// begins with where it is: ".key: what", "[0].key: what".
base::Result<std::string> resolve_json(const std::string& json);

}  // namespace moongate::config
