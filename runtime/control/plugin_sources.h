// SPDX-License-Identifier: Apache-2.0
// Finds the Lua that a configuration needs: the plugins it names and the libraries beside them. All of it
// travels in the snapshot, so that workers never read a plugin from disk and a rollback brings the old code
// back.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "control/resource_store.h"
#include "control/validator.h"
#include "snapshot/refusal.h"

namespace moongate::control {

inline constexpr size_t kSourceFilesMax = 2000;
inline constexpr size_t kSourceBytesMax = size_t{16} << 20;

struct SourceSearch {
  std::vector<std::string> plugin_paths;  // searched in this order, before what is shipped
  std::string lua_root;
};

/// What was found, and what was looked for in vain.
struct CollectedSources {
  Sources sources;
  std::vector<std::string> missing;  // plugin names
  std::vector<std::string> folders;  // every folder in which a change may matter
  base::FileStamps stamps;           // of those and of the files, from before they were looked at
};

/// For each name NAME.lua, then apisix/plugins/NAME.lua in each of the paths, then plugins/NAME.lua or
/// plugins/NAME/init.lua of what is shipped. Libraries are all other *.lua below the paths, and the files
/// beside an init.lua. kLimit beyond 2,000 files or 16 MB; kNotFound for a path that is no folder.
base::Result<CollectedSources> collect_sources(const std::set<std::string>& plugin_names,
                                               const SourceSearch& search);

/// Adds those that the resource uses itself, or is the metadata of.
void add_plugins_of(const config::Resource& resource, std::set<std::string>* names);

/// Begins the reason of what a worker, and nothing before it, refused.
inline constexpr std::string_view kRefusedByWorker = "refused by ";
/// What `faults` say of the plugins of a stored resource; empty: nothing.
std::string find_plugin_fault(const ResourceKey& key, std::string_view json,
                              const snapshot::PluginFaults& faults);

/// Names of the plugins that are shipped, for suggestions.
std::vector<std::string> shipped_plugins(const std::string& lua_root);

/// Letters, digits, `-`, `_` and `.`, not beginning with a dot: safe as part of a path.
bool is_plugin_name(std::string_view name);

}  // namespace moongate::control
