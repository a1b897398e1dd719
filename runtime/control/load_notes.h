// SPDX-License-Identifier: Apache-2.0
// What a load has seen of its sources, for a control process that did not make it: at a start a child loads,
// and to load all of it once more would only tell which files there are to watch. Apart from loader.h because
// it travels between processes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "control/known_good.h"
#include "snapshot/hash.h"

namespace moongate::control {

/// A Lua source that was read.
struct LoadedCode {
  uint64_t hash = 0;
  bool is_of_files = false;  // and not there only because a stored resource uses its plugin
};

struct LoadNotes {
  std::vector<std::string> warnings;       // as errors are said; nothing is refused for them
  snapshot::Hash128 file_hash;             // of what the files hold alone, without code
  std::map<std::string, LoadedCode> code;  // by path
  // What to watch for changes; as far as it is known when there are errors.
  std::vector<std::string> files;
  std::vector<std::string> folders;
  base::FileStamps stamps;  // of what was read, from before it was: see base::file_stamp
};

/// As bytes for read_notes(), with what the load found right.
std::string write_notes(const LoadNotes& notes, const KnownGood& known);
base::Result<LoadNotes> read_notes(std::string_view bytes, KnownGood* known);

}  // namespace moongate::control
