// SPDX-License-Identifier: Apache-2.0
// What a request's body says, for routes that are found by it: Lua knows how bodies are read.
#include <lua.hpp>

#include "base/log.h"
#include "script/host.h"
#include "script/vm.h"

namespace moongate::script {

namespace {

/// The arguments of find_body_variable, on top of the stack.
int push_question(lua_State* state, const exchange::Exchange& exchange, std::string_view name,
                  const std::string_view* element) {
  lua_pushinteger(state, exchange.slot);
  lua_pushnumber(state, static_cast<lua_Number>(exchange.serial));
  lua_pushlstring(state, name.data(), name.size());
  if (element == nullptr) return 3;
  lua_pushlstring(state, element->data(), element->size());
  return 4;
}

}  // namespace

bool Host::find_body_variable(exchange::Exchange& exchange, std::string_view name, std::string_view* value) {
  lua_State* state = vm_->state();
  push_function("find_body_variable");
  if (vm_->call(push_question(state, exchange, name, nullptr), 1) != 0) {
    MG_LOG(kError) << name << ": " << pop_error();
    return false;
  }
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  if (text != nullptr) *value = exchange.arena.copy({text, size});
  lua_pop(state, 1);
  return text != nullptr;
}

bool Host::has_body_element(exchange::Exchange& exchange, std::string_view name, std::string_view element) {
  lua_State* state = vm_->state();
  push_function("find_body_variable");
  if (vm_->call(push_question(state, exchange, name, &element), 1) != 0) {
    MG_LOG(kError) << name << ": " << pop_error();
    return false;
  }
  const bool has = lua_toboolean(state, -1) != 0;
  lua_pop(state, 1);
  return has;
}

}  // namespace moongate::script
