// SPDX-License-Identifier: Apache-2.0
// C++ objects that Lua owns: a userdata holds a pointer, which is null once the object was collected. What is
// left of a script at the end of its worker may still hold one.
#pragma once

#include <luajit-2.1/lua.hpp>

namespace moongate::script {

template <class T>
T& check_box(lua_State* state, int index, const char* type) {
  auto* box = static_cast<T**>(luaL_checkudata(state, index, type));
  if (!*box) luaL_error(state, "this %s is gone: its worker ends", type);
  return **box;
}

/// Pushes a box that is still empty; fill it at once.
template <class T>
T*& make_box(lua_State* state, const char* type) {
  auto** box = static_cast<T**>(lua_newuserdata(state, sizeof(T*)));
  *box = nullptr;
  luaL_getmetatable(state, type);
  lua_setmetatable(state, -2);
  return *box;
}

template <class T>
int collect_box(lua_State* state) {
  auto** box = static_cast<T**>(lua_touserdata(state, 1));
  delete *box;
  *box = nullptr;
  return 0;
}

template <class T>
void register_box_type(lua_State* state, const char* type) {
  luaL_newmetatable(state, type);
  lua_pushcfunction(state, collect_box<T>);
  lua_setfield(state, -2, "__gc");
  lua_pushboolean(state, 0);
  lua_setfield(state, -2, "__metatable");
  lua_pop(state, 1);
}

/// Puts a module into package.loaded. Each of its functions has one upvalue: the box with what they share.
template <class T, size_t kCount>
void register_box_module(lua_State* state, const char* name, const char* type, T* owned,
                         const luaL_Reg (&functions)[kCount]) {
  register_box_type<T>(state, type);
  lua_getglobal(state, "package");
  lua_getfield(state, -1, "loaded");
  lua_newtable(state);
  make_box<T>(state, type) = owned;
  for (const luaL_Reg& function : functions) {
    lua_pushvalue(state, -1);
    lua_pushcclosure(state, function.func, 1);
    lua_setfield(state, -3, function.name);
  }
  lua_pop(state, 1);
  lua_setfield(state, -2, name);
  lua_pop(state, 2);
}

/// What the functions of a module share.
template <class T>
T& shared_box(lua_State* state) {
  auto* box = static_cast<T**>(lua_touserdata(state, lua_upvalueindex(1)));
  if (!*box) luaL_error(state, "this cannot be used any more: the worker ends");
  return **box;
}

}  // namespace moongate::script
