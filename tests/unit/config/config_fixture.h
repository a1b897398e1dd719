// SPDX-License-Identifier: Apache-2.0
// Files for one test, in a folder of their own that goes when the test ends.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "config/document.h"
#include "config/source.h"

namespace moongate::config {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "moongate-config-XXXXXX").string();
    MG_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

/// The error of loading files and making a document of them, with the test's folder cut from its paths; empty
/// when all is well.
inline std::string load_error(const TestFolder& folder, const std::vector<std::string>& names,
                              Environment environment = environment_of({})) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(folder.path(name));
  SourceOptions options;
  options.environment = std::move(environment);
  auto source = Source::load(paths, options);
  std::string detail;
  if (!source) {
    detail = source.error().detail;
  } else {
    const auto document = make_document(source->take_root(), source->places());
    if (!document) detail = document.error().detail;
  }
  const std::string prefix = folder.path("");
  for (size_t at = detail.find(prefix); at != std::string::npos; at = detail.find(prefix))
    detail.erase(at, prefix.size());
  return detail;
}

}  // namespace moongate::config
