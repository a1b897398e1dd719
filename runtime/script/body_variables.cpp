// SPDX-License-Identifier: Apache-2.0
// What a request's body says, for routes that are found by it: Lua knows how bodies are read.
#include <lua.hpp>

#include "base/log.h"
#include "script/host.h"
#include "script/vm.h"

namespace moongate::script {

namespace {

constexpr lua_Integer kBodyMissing = 1;  // in place of a status: see body_search.lua

/// The arguments of ask_body, on top of the stack.
int push_question(lua_State* state, const exchange::Exchange& exchange, std::string_view name,
                  const std::string_view* element) {
  lua_pushinteger(state, exchange.slot);
  lua_pushlstring(state, name.data(), name.size());
  if (element == nullptr) return 2;
  lua_pushlstring(state, element->data(), element->size());
  return 3;
}

std::string_view kept_text(lua_State* state, int index, exchange::Exchange& exchange) {
  size_t size = 0;
  const char* text = lua_tolstring(state, index, &size);
  return text == nullptr ? std::string_view() : exchange.arena.copy({text, size});
}

}  // namespace

Host::BodyAnswer Host::ask_body(exchange::Exchange& exchange, std::string_view name,
                                const std::string_view* element) {
  using Kind = BodyAnswer::Kind;
  lua_State* state = vm_->state();
  push_function("ask_body");
  const int failure = vm_->call(push_question(state, exchange, name, element), 3);
  if (failure != 0) {
    const bool is_limit = vm_->was_over_budget() || failure == LUA_ERRMEM;
    MG_LOG(kError) << name << ": " << pop_error();
    if (is_limit)
      return {Kind::kUnreadable, 413,
              "the route is looked for in the request's body, which takes too much time or memory"};
    return {Kind::kUnreadable, 500,
            "the route is looked for in the request's body, which could not be looked at"};
  }
  BodyAnswer answer;
  if (const lua_Integer status = lua_tointeger(state, -2); status == kBodyMissing)
    answer.kind = Kind::kBodyMissing;
  else if (status != 0)
    answer = {Kind::kUnreadable, static_cast<uint16_t>(status), kept_text(state, -1, exchange)};
  else if (lua_toboolean(state, -3) != 0)
    answer = {Kind::kFound, 0, kept_text(state, -3, exchange)};
  lua_pop(state, 3);
  return answer;
}

void Host::forget_body() {
  push_function("forget_body");
  if (vm_->call(0, 0) != 0) MG_LOG(kError) << "forgetting a body: " << pop_error();
}

}  // namespace moongate::script
