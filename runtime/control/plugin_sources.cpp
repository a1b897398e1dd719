// SPDX-License-Identifier: Apache-2.0
#include "control/plugin_sources.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/json.h"

namespace moongate::control {

using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPluginModules = "apisix.plugins.";
constexpr int kDepthMax = 16;

base::Error failure(base::ErrorKind kind, std::string detail) {
  return {kind, base::Side::kSelf, false, std::move(detail)};
}

/// "apisix/core/x.lua" to "apisix.core.x"; a folder's init.lua is named like the folder.
std::string module_name(const fs::path& relative) {
  fs::path stem = relative;
  stem.replace_extension();
  if (stem.filename() == "init" && stem.has_parent_path()) stem = stem.parent_path();
  std::string name;
  for (const fs::path& part : stem) name += (name.empty() ? "" : ".") + part.string();
  return name;
}

class Collector {
 public:
  Collector(const std::set<std::string>& names, const SourceSearch& search)
      : names_(names), search_(search) {}

  Result<CollectedSources> collect() {
    add_folder(search_.lua_root + "/plugins");
    for (const std::string& path : search_.plugin_paths) {
      if (!fs::is_directory(path))
        return failure(base::ErrorKind::kNotFound,
                       path + ": no such folder; name one in moongate.plugin_paths, or make it");
      // Before anything is looked for in them.
      for (const char* below : {"", "/apisix", "/apisix/plugins"})
        out_.stamps.emplace(path + below, base::file_stamp(path + below));
    }
    for (const std::string& name : names_) {
      if (auto found = add_plugin(name); !found) return found.error();
    }
    for (const std::string& path : search_.plugin_paths) {
      if (auto added = add_libraries(path, path, "", 0); !added) return added.error();
    }
    return std::move(out_);
  }

 private:
  void add_folder(const std::string& folder) {
    out_.folders.push_back(folder);
    out_.stamps.emplace(folder, base::file_stamp(folder));
  }

  Result<void> add_plugin(const std::string& name) {
    const std::string shipped = search_.lua_root + "/plugins/" + name;
    std::vector<std::string> candidates;
    for (const std::string& path : search_.plugin_paths) {
      candidates.push_back(path + "/" + name + ".lua");
      candidates.push_back(path + "/" + name + "/init.lua");
      candidates.push_back(path + "/apisix/plugins/" + name + ".lua");
      candidates.push_back(path + "/apisix/plugins/" + name + "/init.lua");
    }
    candidates.push_back(shipped + ".lua");
    candidates.push_back(shipped + "/init.lua");
    const auto found = std::find_if(candidates.begin(), candidates.end(), [&](const auto& path) {
      return is_plugin_name(name) && fs::is_regular_file(path);
    });
    if (found == candidates.end()) {
      out_.missing.push_back(name);
      return {};
    }
    Result<std::string> text = read(*found);
    if (!text) return text.error();
    taken_.insert(*found);
    out_.sources.plugins.push_back({name, *found, text.take()});
    // What lies beside an init.lua is the plugin's own: required as apisix.plugins.NAME.FILE wherever the
    // folder is.
    const fs::path folder = fs::path(*found).parent_path();
    if (fs::path(*found).filename() != "init.lua") return {};
    return add_libraries(folder.string(), folder.string(), std::string(kPluginModules) + name + ".", 0);
  }

  Result<void> add_libraries(const std::string& root, const std::string& folder, const std::string& prefix,
                             int depth) {
    if (depth > kDepthMax)
      return failure(base::ErrorKind::kLimit, folder + ": folders nested deeper than 16");
    add_folder(folder);
    std::vector<fs::path> entries;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
      entries.push_back(at->path());
    if (error) return failure(base::ErrorKind::kIo, folder + ": " + error.message());
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      if (entry.filename().string().front() == '.') continue;
      if (fs::is_directory(entry, error)) {
        if (auto added = add_libraries(root, entry.string(), prefix, depth + 1); !added) return added;
      } else if (entry.extension() == ".lua") {
        if (auto added = add_library(entry, prefix + module_name(fs::relative(entry, root, error))); !added)
          return added;
      }
    }
    return {};
  }

  Result<void> add_library(const fs::path& path, const std::string& name) {
    if (taken_.count(path.string()) > 0 || !fs::is_regular_file(path)) return {};
    if (!library_names_.insert(name).second) return {};  // the first of the paths wins
    Result<std::string> text = read(path.string());
    if (!text) return text.error();
    taken_.insert(path.string());
    out_.sources.libraries.push_back({name, path.string(), text.take()});
    return {};
  }

  Result<std::string> read(const std::string& path) {
    out_.stamps.emplace(path, base::file_stamp(path));
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (!error && (++files_ > kSourceFilesMax || (bytes_ += size) > kSourceBytesMax)) {
      return failure(
          base::ErrorKind::kLimit,
          path + ": more than 2,000 Lua files or 16 MB below moongate.plugin_paths; name narrower folders");
    }
    std::ifstream file(path, std::ios::binary);
    std::string text(error ? 0 : size, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (error || file.bad() || !file.is_open())
      return failure(base::ErrorKind::kIo, path + ": cannot be read");
    text.resize(static_cast<size_t>(file.gcount()));
    return text;
  }

  const std::set<std::string>& names_;
  const SourceSearch& search_;
  CollectedSources out_;
  std::set<std::string> taken_;
  std::set<std::string> library_names_;
  size_t files_ = 0;
  size_t bytes_ = 0;
};

}  // namespace

bool is_plugin_name(std::string_view name) {
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 100 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

Result<CollectedSources> collect_sources(const std::set<std::string>& plugin_names,
                                         const SourceSearch& search) {
  return Collector(plugin_names, search).collect();
}

void add_plugins_of(const config::Resource& resource, std::set<std::string>* names) {
  if (resource.kind == config::Kind::kPluginMetadata) names->insert(resource.id);
  const base::Value* plugins = resource.body.find("plugins");
  if (plugins == nullptr || !plugins->is_object()) return;
  for (const auto& [name, conf] : plugins->members()) names->insert(name);
}

std::string find_plugin_fault(const ResourceKey& key, std::string_view json,
                              const snapshot::PluginFaults& faults) {
  if (faults.empty()) return "";
  config::Resource resource{key.first, key.second, base::Value()};
  if (Result<base::Value> body = base::parse_json(json)) resource.body = body.take();
  std::set<std::string> names;
  add_plugins_of(resource, &names);
  for (const std::string& name : names) {
    if (const auto fault = faults.find(name); fault != faults.end()) return fault->second;
  }
  return "";
}

std::vector<std::string> shipped_plugins(const std::string& lua_root) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(lua_root + "/plugins", error), end; !error && at != end;
       at.increment(error)) {
    const fs::path& path = at->path();
    if (path.extension() == ".lua")
      names.push_back(path.stem().string());
    else if (fs::is_regular_file(path / "init.lua", error))
      names.push_back(path.filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace moongate::control
