// SPDX-License-Identifier: Apache-2.0
#include "script/vm.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <luajit-2.1/lua.hpp>
#include <string>

using namespace moongate;
using namespace moongate::script;

namespace {

std::unique_ptr<Vm> make_vm(size_t memory_max_bytes = 64u << 20) {
  VmOptions options;
  options.lua_root = MOONGATE_SOURCE_ROOT "/lua";
  options.memory_max_bytes = memory_max_bytes;
  return Vm::make(options).take();
}

/// The status of a chunk, run as a call under the budgets.
int run(Vm& vm, const std::string& text) {
  REQUIRE(luaL_loadbuffer(vm.state(), text.data(), text.size(), "=test") == 0);
  return vm.call(0, 0);
}

size_t mapped_bytes() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<size_t>(::getpagesize());
}

}  // namespace

TEST_CASE("a state that is closed gives all its memory back: each reload checks in one of its own") {
  auto use = [] {
    auto vm = make_vm();
    REQUIRE(run(*vm, "local t = {} for i = 1, 50000 do t[i] = 'text ' .. i end") == 0);
  };
  use();
  size_t before = mapped_bytes();
  for (int i = 0; i < 50; i++) use();
  CHECK(mapped_bytes() < before + (size_t{32} << 20));
}

TEST_CASE("a script over the memory limit fails alone, and the state goes on") {
  auto vm = make_vm(size_t{16} << 20);
  CHECK(run(*vm, "local t = {} for i = 1, 1e9 do t[i] = 'text ' .. i end") == LUA_ERRMEM);
  lua_pop(vm->state(), 1);
  CHECK(vm->relieve());
  CHECK(run(*vm, "local t = {} for i = 1, 1000 do t[i] = i end") == 0);
}

TEST_CASE("memory that was counted is uncounted when it goes") {
  auto vm = make_vm();
  lua_gc(vm->state(), LUA_GCCOLLECT, 0);
  size_t before = vm->memory_bytes();
  REQUIRE(run(*vm, "held = ('x'):rep(10000000)") == 0);
  CHECK(vm->memory_bytes() >= before + 10'000'000);
  REQUIRE(run(*vm, "held = nil") == 0);
  // The buffer the text was made in shrinks by half each time.
  for (int i = 0; i < 10; i++) lua_gc(vm->state(), LUA_GCCOLLECT, 0);
  CHECK(vm->memory_bytes() < before + 5'000'000);
}
