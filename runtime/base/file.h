// SPDX-License-Identifier: Apache-2.0
// Small files that a process keeps for its next start, read and written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace moongate::base {

enum class Durability : uint8_t {
  kSynced,    // there also after a power failure
  kBuffered,  // survives the process; a power failure may leave the former file, or a damaged one
};

/// Writes a file for its owner's eyes only, beside it first, so that it is there whole or not at all.
Result<void> write_file(const std::string& path, std::string_view bytes,
                        Durability durability = Durability::kSynced);

/// The bytes of a regular file of at most `size_max_bytes`.
Result<std::string> read_file(const std::string& path, size_t size_max_bytes);

/// What changes when the file or folder that `path` leads to does, or another one comes to be there; empty
/// when there is none.
std::string file_stamp(const std::string& path);
using FileStamps = std::map<std::string, std::string>;  // by path
/// Whether they all are what they were.
bool are_unchanged(const FileStamps& stamps);

/// Makes new names in a folder last.
Result<void> sync_folder(const std::string& folder);

}  // namespace moongate::base
