// SPDX-License-Identifier: Apache-2.0
#include "script/plugin_probe.h"

#include <luajit-2.1/lua.hpp>

namespace moongate::script {

using base::Result;

namespace {

constexpr uint32_t kCpuBudgetMs = 5000;

void set_text(lua_State* state, const char* name, const std::string& text) {
  lua_pushlstring(state, text.data(), text.size());
  lua_setfield(state, -2, name);
}

void push_source(lua_State* state, const CheckedSource& source) {
  lua_createtable(state, 0, 5);
  set_text(state, "name", source.name);
  set_text(state, "path", source.path);
  set_text(state, "text", source.text);
}

std::string get_text(lua_State* state, const char* name) {
  lua_getfield(state, -1, name);
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  std::string copy = text != nullptr ? std::string(text, size) : std::string();
  lua_pop(state, 1);
  return copy;
}

}  // namespace

Result<std::unique_ptr<PluginProbe>> PluginProbe::make(const std::string& lua_root) {
  std::unique_ptr<PluginProbe> probe(new PluginProbe());
  auto loop = net::EventLoop::make();
  if (!loop) return loop.error();
  probe->loop_ = loop.take();
  HostOptions options;
  options.vm.lua_root = lua_root;
  options.vm.cpu_budget_ms = kCpuBudgetMs;
  options.worker_index = -1;
  auto host = Host::make(*probe->loop_, nullptr, probe->exchanges_, std::move(options),
                         [](exchange::Exchange&, exchange::StepResult) {});
  if (!host) return host.error();
  probe->host_ = host.take();
  return probe;
}

Result<PluginFacts> PluginProbe::probe(const CheckedSource& plugin,
                                       const std::vector<CheckedSource>& libraries) {
  lua_State* state = host_->vm().state();
  lua_getglobal(state, "require");
  lua_pushliteral(state, "moongate.runtime.probe");
  if (host_->vm().call(1, 1) != 0) return base::invalid(host_->pop_error());
  lua_getfield(state, -1, "probe");
  lua_remove(state, -2);
  push_source(state, plugin);
  lua_createtable(state, static_cast<int>(libraries.size()), 0);
  int index = 0;
  for (const CheckedSource& library : libraries) {
    push_source(state, library);
    lua_rawseti(state, -2, ++index);
  }
  if (host_->vm().call(2, 2) != 0) return base::invalid(plugin.path + ": " + host_->pop_error());
  if (!lua_istable(state, -2)) {
    const char* fault = lua_tostring(state, -1);
    base::Error error = base::invalid(fault != nullptr ? fault : plugin.path + ": cannot be loaded");
    lua_pop(state, 2);
    return error;
  }
  lua_pop(state, 1);
  PluginFacts facts{get_text(state, "version"), 0, get_text(state, "type"), get_text(state, "phases")};
  lua_getfield(state, -1, "priority");
  facts.priority = lua_tonumber(state, -1);
  lua_pop(state, 2);
  return facts;
}

}  // namespace moongate::script
