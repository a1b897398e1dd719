// SPDX-License-Identifier: Apache-2.0
// Reads the files of `-c FILE [-c OVERLAY ...]` with what they include, and merges them into one tree whose
// values still know the file and line they came from. What the tree means is document.h's business.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/value.h"
#include "config/dialect.h"
#include "config/places.h"
#include "config/substitute.h"

namespace moongate::config {

/// Runs a Lua configuration file and returns the table it returns. Given by the caller, since only script/
/// knows Lua.
using LuaEvaluator = std::function<base::Result<base::Value>(const std::string& path, std::string_view text,
                                                             uint16_t file_index)>;

struct SourceOptions {
  LuaEvaluator evaluate_lua;  // empty: .lua files are refused
  Environment environment = process_environment();
  /// Given: what of another gateway's file cannot be translated goes here and is left out; else it refuses
  /// the file. Called once for each such file.
  std::function<void(Dialect, std::vector<DialectFinding>)> on_findings;
};

/// What a load looked at: the files, whether they were there or not, and the folders in which a new file
/// could match an `include` pattern. A change of any of them may make another configuration.
struct Visited {
  std::vector<std::string> files;
  std::vector<std::string> folders;
  base::FileStamps stamps;  // of all of them, from before they were looked at
};

/// Configuration files, merged.
///
/// Shape:   included files come before the file that names them, which therefore wins; each file is read
/// once. Fails:   with "path:line:column: what; what would be right" at the first mistake in any file.
class Source {
 public:
  /// A path may be a folder of APISIX's, with config.yaml and apisix.yaml. `visited` is filled also when the
  /// load fails.
  static base::Result<Source> load(const std::vector<std::string>& paths, const SourceOptions& options,
                                   Visited* visited = nullptr);

  const base::Value& root() const { return root_; }
  base::Value take_root() { return std::move(root_); }
  const Places& places() const { return places_; }
  /// Every file that was read, in the order of their indices.
  const std::vector<std::string>& files() const { return places_.files(); }
  /// What works otherwise than its file says: "path:line: field: what".
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// Folders in which a new file could match an `include` pattern.
  const std::vector<std::string>& folders() const { return folders_; }
  std::string place(const base::Value& value) const { return places_.of(value); }
  std::string place_of(const base::Value& root, std::string_view path) const {
    return places_.of(root, path);
  }

 private:
  friend class SourceLoader;
  base::Value root_ = base::Value::object();
  Places places_;
  std::vector<std::string> folders_;
  base::FileStamps stamps_;
  std::vector<std::string> warnings_;
};

}  // namespace moongate::config
