// SPDX-License-Identifier: Apache-2.0
#include "script/test_host.h"

#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "script/test_functions.h"

namespace moongate::script {
namespace {

struct CloseState {
  void operator()(lua_State* state) const { lua_close(state); }
};
using State = std::unique_ptr<lua_State, CloseState>;

void set_package_path(lua_State* state, const std::string& lua_root) {
  const std::string path = lua_root + "/lib/?.lua;" + lua_root + "/lib/?/init.lua";
  lua_getglobal(state, "package");
  lua_pushlstring(state, path.data(), path.size());
  lua_setfield(state, -2, "path");
  lua_pop(state, 1);
}

void push_options(lua_State* state, const TestOptions& options) {
  lua_newtable(state);
  lua_createtable(state, static_cast<int>(options.paths.size()), 0);
  int index = 0;
  for (const std::string& path : options.paths) {
    lua_pushlstring(state, path.data(), path.size());
    lua_rawseti(state, -2, ++index);
  }
  lua_setfield(state, -2, "paths");
  lua_pushinteger(state, options.jobs);
  lua_setfield(state, -2, "jobs");
  lua_pushlstring(state, options.filter.data(), options.filter.size());
  lua_setfield(state, -2, "filter");
  std::error_code error;
  const std::string executable = std::filesystem::read_symlink("/proc/self/exe", error).string();
  lua_pushlstring(state, executable.data(), executable.size());
  lua_setfield(state, -2, "executable");
}

int fail(lua_State* state) {
  std::fprintf(stderr, "moongate plugin test: %s\n", lua_tostring(state, -1));
  return 1;
}

}  // namespace

void register_test_functions(lua_State* state) {
  lua_newtable(state);
  register_test_limit(state);
  register_test_processes(state);
  register_test_files(state);
  register_test_sockets(state);
  lua_getglobal(state, "package");
  lua_getfield(state, -1, "loaded");
  lua_pushvalue(state, -3);
  lua_setfield(state, -2, "moongate.test.native");
  lua_pop(state, 3);
}

int run_tests(const TestOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const State owner(luaL_newstate());
  lua_State* state = owner.get();
  if (state == nullptr) return 1;
  luaL_openlibs(state);
  // Interpreted only: compiled loops would not see the hook that ends a test at its time limit.
  luaJIT_setmode(state, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  set_package_path(state, options.lua_root);
  register_test_functions(state);
  lua_getglobal(state, "require");
  lua_pushliteral(state, "moongate.test.runner");
  if (lua_pcall(state, 1, 1, 0) != 0) return fail(state);
  lua_getfield(state, -1, "run");
  push_options(state, options);
  if (lua_pcall(state, 1, 1, 0) != 0) return fail(state);
  return static_cast<int>(lua_tointeger(state, -1));
}

}  // namespace moongate::script
