// SPDX-License-Identifier: Apache-2.0
// Folders, the clock file and codes for the test kit.

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/base64.h"
#include "script/test_functions.h"
#include "shm/moving_clock.h"
#include "tls/digest.h"

namespace moongate::script {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSpecsMax = 10000;
constexpr std::string_view kSpecEnding = "_spec.lua";

std::string_view text_at(lua_State* state, int index) {
  size_t size = 0;
  const char* text = luaL_checklstring(state, index, &size);
  return {text, size};
}

int push_failure(lua_State* state, const std::string& reason) {
  lua_pushnil(state);
  lua_pushlstring(state, reason.data(), reason.size());
  return 2;
}

/// temp_dir() -> path | nil, error
int temp_dir(lua_State* state) {
  const char* parent = ::getenv("TMPDIR");
  std::string path =
      std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/moongate-test-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return push_failure(state, path + ": " + std::strerror(errno));
  lua_pushlstring(state, path.data(), path.size());
  return 1;
}

/// make_dir(path) -> true | nil, error; with what is missing above it
int make_dir(lua_State* state) {
  std::error_code error;
  fs::create_directories(fs::path(text_at(state, 1)), error);
  if (error) return push_failure(state, error.message());
  lua_pushboolean(state, 1);
  return 1;
}

/// remove_tree(path)
int remove_tree(lua_State* state) {
  std::error_code error;
  fs::remove_all(fs::path(text_at(state, 1)), error);
  return 0;
}

/// absolute(path) -> path
int absolute(lua_State* state) {
  std::error_code error;
  const std::string path = fs::absolute(fs::path(text_at(state, 1)), error).lexically_normal().string();
  lua_pushlstring(state, path.data(), path.size());
  return 1;
}

bool is_spec(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.size() > kSpecEnding.size() &&
         name.compare(name.size() - kSpecEnding.size(), kSpecEnding.size(), kSpecEnding) == 0;
}

std::string collect_specs(const fs::path& folder, std::vector<std::string>* out) {
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().front() == '.')
      at.disable_recursion_pending();
    else if (is_spec(at->path()) && at->is_regular_file(error))
      out->push_back(at->path().string());
    if (out->size() > kSpecsMax) return folder.string() + ": more than 10,000 specs";
  }
  std::sort(out->begin(), out->end());
  return error ? folder.string() + ": " + error.message() : std::string();
}

/// find_specs(path) -> list of files | nil, error. A file is taken whatever its name.
int find_specs(lua_State* state) {
  const fs::path path(text_at(state, 1));
  std::error_code error;
  std::vector<std::string> found;
  if (fs::is_directory(path, error)) {
    const std::string reason = collect_specs(path, &found);
    if (!reason.empty()) return push_failure(state, reason);
  } else if (fs::is_regular_file(path, error)) {
    found.push_back(path.string());
  } else {
    return push_failure(state, path.string() + ": no such file or folder");
  }
  lua_createtable(state, static_cast<int>(found.size()), 0);
  int index = 0;
  for (const std::string& name : found) {
    lua_pushlstring(state, name.data(), name.size());
    lua_rawseti(state, -2, ++index);
  }
  return 1;
}

/// set_clock(path, seconds) -> true | nil, error
int set_clock(lua_State* state) {
  const double seconds = luaL_checknumber(state, 2);
  if (!(std::abs(seconds) < 4e9)) return luaL_argerror(state, 2, "out of range");
  const auto written =
      shm::write_test_clock(std::string(text_at(state, 1)), static_cast<int64_t>(seconds * 1e9));
  if (!written) return push_failure(state, written.error().detail);
  lua_pushboolean(state, 1);
  return 1;
}

/// hmac(algorithm, key, data) -> bytes | nil
int hmac(lua_State* state) {
  char out[tls::kDigestMaxBytes];
  const size_t size = tls::hmac(text_at(state, 1), text_at(state, 2), text_at(state, 3), out);
  if (size == 0)
    lua_pushnil(state);
  else
    lua_pushlstring(state, out, size);
  return 1;
}

/// base64url(data) -> text without padding
int base64url(lua_State* state) {
  const std::string_view data = text_at(state, 1);
  std::string out((data.size() + 2) / 3 * 4, '\0');
  const size_t size = base::encode_base64(data, base::Base64Alphabet::kUrl, false, out.data());
  lua_pushlstring(state, out.data(), size);
  return 1;
}

}  // namespace

void register_test_files(lua_State* state) {
  constexpr luaL_Reg kFunctions[] = {
      {"temp_dir", temp_dir}, {"make_dir", make_dir},     {"remove_tree", remove_tree},
      {"absolute", absolute}, {"find_specs", find_specs}, {"set_clock", set_clock},
      {"hmac", hmac},         {"base64url", base64url},   {nullptr, nullptr}};
  luaL_register(state, nullptr, kFunctions);
}

}  // namespace moongate::script
