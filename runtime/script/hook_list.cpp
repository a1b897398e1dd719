// SPDX-License-Identifier: Apache-2.0
#include "script/hook_list.h"

#include <luajit-2.1/lua.hpp>

namespace moongate::script {

using base::Result;
using exchange::StepResult;

namespace {

std::string get_text(lua_State* state, const char* key) {
  lua_getfield(state, -1, key);
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  std::string copy = text ? std::string(text, size) : std::string();
  lua_pop(state, 1);
  return copy;
}

/// Why the chains could not be built.
base::Error chain_error(const exchange::Exchange& exchange) {
  const snapshot::PluginSet* sets[] = {&exchange.snapshot->global_plugins,
                                       exchange.route ? &exchange.route->plugins : nullptr};
  for (const snapshot::PluginSet* set : sets) {
    if (set != nullptr && set->chain && set->chain->handle == 0)
      return base::Error{base::ErrorKind::kScript, base::Side::kSelf, false, set->chain->reason};
  }
  return base::Error{base::ErrorKind::kScript, base::Side::kSelf, false, "a plugin of this route cannot run"};
}

}  // namespace

Result<std::vector<ListedHook>> list_hooks(Host& host, exchange::Exchange& exchange,
                                           const std::string& consumer) {
  if (host.prepare(exchange) != StepResult::kNext) return chain_error(exchange);
  lua_State* state = host.vm().state();
  host.push_function("list_hooks");
  lua_pushinteger(state, exchange.chain);
  lua_pushinteger(state, exchange.global_chain);
  lua_pushlstring(state, consumer.data(), consumer.size());
  if (host.vm().call(3, 2) != 0) return base::invalid(host.pop_error());
  if (lua_isnil(state, -2)) {
    lua_remove(state, -2);
    return base::invalid(host.pop_error());
  }
  lua_pop(state, 1);
  std::vector<ListedHook> hooks;
  const size_t count = lua_objlen(state, -1);
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(state, -1, static_cast<int>(i));
    lua_getfield(state, -1, "priority");
    const double priority = lua_tonumber(state, -1);
    lua_pop(state, 1);
    hooks.push_back(
        {get_text(state, "phase"), get_text(state, "plugin"), priority, get_text(state, "source")});
    lua_pop(state, 1);
  }
  lua_pop(state, 1);
  return hooks;
}

}  // namespace moongate::script
