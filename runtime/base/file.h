// SPDX-License-Identifier: Apache-2.0
// Small files that a process keeps for its next start, read and written whole.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace moongate::base {

/// Writes a file for its owner's eyes only, so that it is there whole or not at all, also after a power
/// failure.
Result<void> write_file(const std::string& path, std::string_view bytes);

/// The bytes of a regular file of at most `size_max_bytes`.
Result<std::string> read_file(const std::string& path, size_t size_max_bytes);

}  // namespace moongate::base
