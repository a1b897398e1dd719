// SPDX-License-Identifier: Apache-2.0
// What a load has seen of its sources, for a control process that did not make it: at a start a child loads,
// and to load all of it once more would only tell which files there are to watch. Apart from loader.h because
// it travels between processes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/loader.h"

namespace moongate::control {

struct LoadNotes {
  std::vector<std::string> files;
  std::vector<std::string> folders;
  base::FileStamps stamps;
  std::vector<std::string> warnings;
  snapshot::Hash128 file_hash;
  std::map<std::string, LoadedCode> code;
};

/// As text for read_notes().
std::string write_notes(const Loaded& loaded);
base::Result<LoadNotes> read_notes(std::string_view text);

}  // namespace moongate::control
