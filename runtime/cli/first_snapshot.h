// SPDX-License-Identifier: Apache-2.0
// Makes the snapshot an instance starts with, in a child process: checking it needs Lua, and the process that
// becomes the supervisor must never have run any.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/settings.h"
#include "snapshot/descriptor.h"

namespace moongate::cli {

struct FirstSnapshot {
  snapshot::Descriptor memfd;  // sealed
  config::Settings settings;
  /// Not empty: the configuration is broken, says this, and the snapshot is the last good one.
  std::string error;
  std::string load_notes;  // see control/load_notes.h; empty with an error
};

/// Prints what is wrong with the configuration to stderr. Fails when there is neither a good configuration
/// nor a last good snapshot in `directory`.
base::Result<FirstSnapshot> make_first_snapshot(const std::vector<std::string>& config_paths,
                                                const std::string& directory, const std::string& lua_root);

}  // namespace moongate::cli
