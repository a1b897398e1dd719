// SPDX-License-Identifier: Apache-2.0
#include "cli/lua_root.h"

#include <cstdlib>
#include <filesystem>

namespace moongate::cli {

namespace fs = std::filesystem;

base::Result<std::string> find_lua_root() {
  const auto is_lua_root = [](const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path / "lib" / "moongate", error);
  };
  std::error_code error;
  if (const char* given = std::getenv("MOONGATE_LUA"); given != nullptr && *given != '\0') {
    if (!is_lua_root(given))
      return base::invalid(std::string("MOONGATE_LUA: ") + given + " has no lib/moongate in it");
    return fs::absolute(given, error).lexically_normal().string();
  }
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const char* relative : {"../share/moongate/lua", "../../lua"}) {
    const fs::path candidate = (program.parent_path() / relative).lexically_normal();
    if (!error && is_lua_root(candidate)) return candidate.string();
  }
  return base::Error{base::ErrorKind::kNotFound, base::Side::kSelf, false,
                     "the Lua that belongs to moongate is not found beside " + program.string() +
                         "; set MOONGATE_LUA to the folder with lib/ and plugins/"};
}

}  // namespace moongate::cli
