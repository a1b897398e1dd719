// SPDX-License-Identifier: Apache-2.0
#include "script/host.h"

#include <signal.h>
#include <unistd.h>

#include <luajit-2.1/lua.hpp>

#include <algorithm>

#include "base/log.h"
#include "exchange/traffic.h"
#include "script/api_wait.h"
#include "script/task.h"

namespace moongate::script {

using exchange::Exchange;
using exchange::Phase;
using exchange::StepResult;

namespace {

Host* current_host = nullptr;

constexpr size_t kSpareTasksMax = 1024;

}  // namespace

Host& Host::current() {
  MG_ASSERT(current_host != nullptr);
  return *current_host;
}

Host::Host(net::EventLoop& loop, net::Resolver* resolver, exchange::ExchangePool& exchanges,
           HostOptions options, ResumeCallback on_resume)
    : loop_(loop),
      resolver_(resolver),
      exchanges_(exchanges),
      options_(std::move(options)),
      on_resume_(std::move(on_resume)),
      accounts_(options_.number_plugin, options_.quarantine) {
  running_plugin_ = options_.running_plugin ? options_.running_plugin : &own_running_plugin_;
}

Host::~Host() {
  tasks_.clear();
  vm_.reset();
  if (current_host == this) current_host = former_;
}

base::Result<std::unique_ptr<Host>> Host::make(net::EventLoop& loop, net::Resolver* resolver,
                                               exchange::ExchangePool& exchanges, HostOptions options,
                                               ResumeCallback on_resume) {
  std::unique_ptr<Host> host(new Host(loop, resolver, exchanges, std::move(options), std::move(on_resume)));
  if (auto opened = host->open(); !opened) return opened.error();
  return host;
}

base::Result<void> Host::open() {
  auto vm = Vm::make(options_.vm);
  if (!vm) return vm.error();
  vm_ = vm.take();
  former_ = current_host;
  current_host = this;
  lua_State* state = vm_->state();
  register_wait_functions(state);
  lua_getglobal(state, "require");
  lua_pushstring(state, "moongate.runtime");
  if (vm_->call(1, 1) != 0) return base::invalid("the Lua runtime does not load: " + pop_error());
  lua_getfield(state, -1, "current");
  current_ref_ = luaL_ref(state, LUA_REGISTRYINDEX);
  runtime_ref_ = luaL_ref(state, LUA_REGISTRYINDEX);
  keep_entries("first_entries", &first_entries_);
  keep_entries("later_entries", &later_entries_);
  vm_->start_sampling(running_plugin_, samples_, kPluginsMax);
  return {};
}

// Keeps the functions of the list `name`, which are numbered as the phases are.
void Host::keep_entries(const char* name, std::array<int, kPhasesMax>* entries) {
  lua_State* state = vm_->state();
  push_function(name);
  for (size_t phase = 0; phase < entries->size(); phase++) {
    lua_rawgeti(state, -1, static_cast<int>(phase));
    (*entries)[phase] = luaL_ref(state, LUA_REGISTRYINDEX);
  }
  lua_pop(state, 1);
}

bool Host::push_function(const char* name) {
  lua_State* state = vm_->state();
  lua_rawgeti(state, LUA_REGISTRYINDEX, runtime_ref_);
  lua_getfield(state, -1, name);
  lua_remove(state, -2);
  return true;
}

std::string Host::pop_error() {
  lua_State* state = vm_->state();
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  std::string message = text ? std::string(text, size) : std::string("an error that is no text");
  lua_pop(state, 1);
  return message;
}

void Host::configure(const config::ScriptSettings& settings) {
  vm_->set_limits(settings.cpu_budget_ms, size_t{settings.memory_max_mb} << 20);
  accounts_.set_quarantine_limit(settings.quarantine_after);
  wall_budget_ = std::chrono::milliseconds(settings.wall_budget_ms);
}

// --- snapshots ---------------------------------------------------------------------------------------------

namespace {

void push_sources(lua_State* state,
                  const std::vector<std::shared_ptr<const snapshot::ScriptSource>>& sources) {
  lua_createtable(state, static_cast<int>(sources.size()), 0);
  int index = 0;
  for (const auto& source : sources) {
    lua_createtable(state, 0, 5);
    lua_pushlstring(state, source->name.data(), source->name.size());
    lua_setfield(state, -2, "name");
    lua_pushlstring(state, source->path.data(), source->path.size());
    lua_setfield(state, -2, "path");
    lua_pushlstring(state, source->text.data(), source->text.size());
    lua_setfield(state, -2, "text");
    std::string hash = std::to_string(source->hash);
    lua_pushlstring(state, hash.data(), hash.size());
    lua_setfield(state, -2, "hash");
    lua_pushboolean(state, !source->is_shipped);
    lua_setfield(state, -2, "uses_libraries");
    lua_rawseti(state, -2, ++index);
  }
}

// Pushes the value of JSON text; an empty table when it does not parse.
void push_json(Vm& vm, std::string_view text) {
  lua_State* state = vm.state();
  lua_getglobal(state, "require");
  lua_pushstring(state, "cjson");
  if (vm.call(1, 1) == 0) {
    lua_getfield(state, -1, "decode");
    lua_remove(state, -2);
    lua_pushlstring(state, text.data(), text.size());
    if (vm.call(1, 1) == 0 && lua_istable(state, -1)) return;
  }
  lua_pop(state, 1);
  lua_newtable(state);
}

}  // namespace

base::Result<void> Host::prepare_snapshot(snapshot::Snapshot& next, bool is_started) {
  lua_State* state = vm_->state();
  plugin_faults_.clear();
  push_function("begin_set");
  push_sources(state, next.plugin_sources);
  push_sources(state, next.library_sources);
  uint64_t libraries_hash = 0;
  for (const auto& source : next.library_sources)
    libraries_hash = libraries_hash * 1099511628211ULL ^ source->hash;
  std::string hash_text = std::to_string(libraries_hash);
  lua_pushlstring(state, hash_text.data(), hash_text.size());
  push_json(*vm_, next.plugin_attributes_json);
  lua_pushboolean(state, is_started);
  if (vm_->call(5, 0) != 0) return give_up_snapshot();
  do {
    if (options_.on_progress) options_.on_progress();
    push_function("load_step");
    if (vm_->call(0, 3) != 0) return give_up_snapshot();
    if (const char* name = lua_tostring(state, -1)) plugin_faults_.emplace(name, lua_tostring(state, -2));
    if (lua_isnil(state, -3)) {
      std::string reason = lua_tostring(state, -2);
      lua_pop(state, 3);
      return base::Error{base::ErrorKind::kScript, base::Side::kSelf, false, reason};
    }
    next.script_handle = static_cast<int>(lua_tointeger(state, -3));
    lua_pop(state, 3);
  } while (next.script_handle == 0);
  return {};
}

// After a step that was cut off: nothing of it stays, and the error names the plugin.
base::Error Host::give_up_snapshot() {
  std::string reason = pop_error();
  lua_State* state = vm_->state();
  push_function("give_up_set");
  if (vm_->call(0, 2) != 0) {
    MG_LOG(kError) << "giving up plugins: " << pop_error();
    return base::invalid(reason);
  }
  if (const char* whose = lua_tostring(state, -2)) reason.insert(0, whose);
  if (const char* name = lua_tostring(state, -1)) plugin_faults_.emplace(name, reason);
  lua_pop(state, 2);
  return base::Error{base::ErrorKind::kScript, base::Side::kSelf, false, reason};
}

void Host::adopt_snapshot(const snapshot::Snapshot& now) {
  snapshot_ = &now;
  lua_State* state = vm_->state();
  push_function("adopt_set");
  lua_pushinteger(state, now.script_handle);
  lua_newtable(state);
  for (const auto& [name, json] : now.plugin_metadata) {
    push_json(*vm_, json);
    lua_setfield(state, -2, name.c_str());
  }
  if (vm_->call(2, 0) != 0) MG_LOG(kError) << "adopting plugins: " << pop_error();
  adopt_secrets(now);
  accounts_.adopt(now);
}

void Host::adopt_secrets(const snapshot::Snapshot& now) {
  lua_State* state = vm_->state();
  push_function("adopt_secrets");
  lua_createtable(state, 0, static_cast<int>(now.secrets.size()));
  for (const auto& [id, json] : now.secrets) {
    lua_pushlstring(state, json.data(), json.size());
    lua_setfield(state, -2, id.c_str());
  }
  lua_createtable(state, 0, 3);
  const auto set_seconds = [state](const char* key, config::Milliseconds time) {
    lua_pushnumber(state, std::chrono::duration<double>(time).count());
    lua_setfield(state, -2, key);
  };
  const config::SecretSettings& settings = now.settings->secrets;
  set_seconds("ttl", settings.ttl);
  set_seconds("retry_after", settings.retry_after);
  set_seconds("stale", settings.stale);
  if (vm_->call(2, 0) != 0) MG_LOG(kError) << "adopting secrets: " << pop_error();
}

void Host::release_snapshot(int script_handle) {
  if (snapshot_ && snapshot_->script_handle == script_handle) snapshot_ = nullptr;
  push_function("release_set");
  lua_pushinteger(vm_->state(), script_handle);
  if (vm_->call(1, 0) != 0) MG_LOG(kError) << "releasing plugins: " << pop_error();
}

// --- chains
// --------------------------------------------------------------------------------------------------

void Host::build_chain(const snapshot::PluginSet& set, const Exchange& exchange,
                       snapshot::ChainHandle* built) {
  lua_State* state = vm_->state();
  const snapshot::Route* route = &set == &exchange.snapshot->global_plugins ? nullptr : exchange.route;
  push_function("build_chain");
  lua_createtable(state, 0, 10);
  auto set_text = [state](const char* key, const std::string& text) {
    if (text.empty()) return;
    lua_pushlstring(state, text.data(), text.size());
    lua_setfield(state, -2, key);
  };
  lua_pushinteger(state, exchange.snapshot->script_handle);
  lua_setfield(state, -2, "set");
  set_text("conf_type", set.conf_type);
  set_text("conf_id", set.conf_id);
  set_text("conf_version", set.conf_version);
  if (route) {
    set_text("route_id", route->id);
    set_text("route_name", route->name);
    set_text("service_id", route->service_id);
    set_text("service_name", route->service_name);
    lua_createtable(state, 0, 3);
    set_text("key", "/apisix/routes/" + route->id);
    set_text("modifiedIndex", set.conf_version);
    push_json(*vm_, route->body_json);
    lua_setfield(state, -2, "value");
    lua_setfield(state, -2, "matched_route");
  }
  lua_createtable(state, static_cast<int>(set.plugins.size()), 0);
  int index = 0;
  for (const auto& plugin : set.plugins) {
    lua_createtable(state, 0, 4);
    set_text("name", plugin.name);
    set_text("conf_json", *plugin.conf_json);
    set_text("resource_key", plugin.resource_key);
    set_text("resource_version", plugin.resource_version);
    lua_rawseti(state, -2, ++index);
  }
  lua_setfield(state, -2, "plugins");
  if (vm_->call(1, 3) != 0) {
    built->reason = pop_error();
    return;
  }
  if (lua_isnil(state, -3)) {
    built->reason = lua_tostring(state, -2);
  } else {
    built->handle = static_cast<int>(lua_tointeger(state, -3));
    built->phases = static_cast<uint32_t>(lua_tointeger(state, -2));
    built->traffic = static_cast<uint32_t>(lua_tointeger(state, -1));
  }
  lua_pop(state, 3);
}

// The chain's handle lives as long as the set that it was built for.
bool Host::find_chain(const snapshot::PluginSet& set, Exchange& exchange, int* chain) {
  if (set.plugins.empty()) return true;
  if (!set.chain) {
    auto built = std::make_shared<snapshot::ChainHandle>();
    build_chain(set, exchange, built.get());
    if (built->handle == 0)
      MG_LOG(kError) << set.conf_type << " " << set.conf_id << " cannot serve: " << built->reason;
    set.chain =
        std::shared_ptr<snapshot::ChainHandle>(built.get(), [this, built](snapshot::ChainHandle* handle) {
          if (!current_host || handle->handle == 0) return;
          push_function("release_chain");
          lua_pushinteger(vm_->state(), handle->handle);
          if (vm_->call(1, 0) != 0) pop_error();
        });
  }
  *chain = set.chain->handle;
  exchange.phases_present |= set.chain->phases;
  exchange.traffic = exchange::traffic::choose(exchange.traffic, set.chain->traffic);
  if (*chain == 0) {
    exchange.fail(503, "a plugin of this route cannot run");
    return false;
  }
  std::string_view held = accounts_.find_quarantined(set);
  if (!held.empty()) exchange.fail(503, "plugin " + std::string(held) + " is in quarantine");
  return held.empty();
}

StepResult Host::prepare(Exchange& exchange) {
  exchange.has_context = true;
  bool is_fine = find_chain(exchange.snapshot->global_plugins, exchange, &exchange.global_chain);
  if (is_fine && exchange.route) is_fine = find_chain(exchange.route->plugins, exchange, &exchange.chain);
  if (is_fine) return StepResult::kNext;
  // A plugin that cannot run is never passed over: it may be the one that keeps strangers out.
  exchange.phases_present = 0;
  return StepResult::kAnswer;
}

// --- runs
// ----------------------------------------------------------------------------------------------------

Task* Host::take_task() {
  if (!free_tasks_.empty()) {
    Task* task = free_tasks_.back();
    free_tasks_.pop_back();
    return task;
  }
  tasks_.push_back(std::make_unique<Task>(*this));
  Task* task = tasks_.back().get();
  lua_State* state = vm_->state();
  task->thread = lua_newthread(state);
  task->reference = luaL_ref(state, LUA_REGISTRYINDEX);
  return task;
}

void Host::give_task(Task* task) {
  count_waiting_log(*task);
  task->exchange = nullptr;
  task->is_detached = false;
  if (free_tasks_.size() >= kSpareTasksMax)
    drop_task(task);
  else
    free_tasks_.push_back(task);
}

// A coroutine that ended in an error cannot be used again.
void Host::drop_task(Task* task) {
  count_waiting_log(*task);
  luaL_unref(vm_->state(), LUA_REGISTRYINDEX, task->reference);
  auto found =
      std::find_if(tasks_.begin(), tasks_.end(), [task](const auto& owned) { return owned.get() == task; });
  if (found == tasks_.end()) return;
  std::swap(*found, tasks_.back());
  tasks_.pop_back();
}

Task& Host::begin_task(Exchange& exchange, Phase phase) {
  Task* task = take_task();
  task->exchange = &exchange;
  task->phase = phase;
  task->plugin = 0;
  task->is_abandoned = false;
  exchange.task = task;
  exchange.phase = phase;
  lua_State* thread = task->thread;
  const bool is_first = !exchange.is_known_to_lua;
  exchange.is_known_to_lua = true;
  lua_rawgeti(thread, LUA_REGISTRYINDEX,
              (is_first ? first_entries_ : later_entries_)[static_cast<size_t>(phase)]);
  lua_pushinteger(thread, exchange.slot);
  if (!is_first) return *task;
  lua_pushinteger(thread, exchange.chain);
  lua_pushinteger(thread, exchange.global_chain);
  return *task;
}

StepResult Host::run_phase(Exchange& exchange, Phase phase) {
  Task& task = begin_task(exchange, phase);
  return enter(task, lua_gettop(task.thread) - 1);
}

StepResult Host::filter_body(Exchange& exchange, std::string_view chunk, bool is_last) {
  Task& task = begin_task(exchange, Phase::kBodyFilter);
  lua_pushlstring(task.thread, chunk.data(), chunk.size());
  lua_pushboolean(task.thread, is_last);
  return enter(task, lua_gettop(task.thread) - 1);
}

StepResult Host::enter(Task& task, int arguments) {
  Task* outer = running_;
  int32_t outer_plugin = *running_plugin_;
  running_ = &task;
  *running_plugin_ = task.plugin;
  task.is_entered = true;
  int status = vm_->resume(task.thread, arguments);
  task.is_entered = false;
  running_ = outer;
  StepResult result = after_resume(task, status);  // may free the task
  *running_plugin_ = outer_plugin;
  return result;
}

StepResult Host::after_resume(Task& task, int status) {
  if (status != LUA_YIELD && status != 0) return on_error(task);
  Exchange* exchange = task.exchange;
  lua_State* thread = task.thread;
  if (task.is_waiting) {
    task.plugin = *running_plugin_;
    if (task.is_abandoned) {
      drop_waiting(task);
      return StepResult::kAnswer;
    }
    if (exchange && task.phase == Phase::kLog) count_waiting_log(task);
    return StepResult::kWait;
  }
  if (task.is_detached) {
    detached_running_--;
    drop_task(&task);
    return StepResult::kNext;
  }
  lua_Integer verdict = 0;
  if (task.phase == Phase::kBodyFilter) {
    size_t size = 0;
    const char* text = lua_tolstring(thread, -2, &size);
    filtered_.text.assign(text ? text : "", size);
    filtered_.is_ended = lua_toboolean(thread, -1);
    lua_pop(thread, 2);
  } else {
    verdict = lua_tointeger(thread, -1);
    lua_pop(thread, 1);
  }
  exchange->task = nullptr;
  give_task(&task);
  return verdict == 0 ? StepResult::kNext : StepResult::kAnswer;
}

StepResult Host::on_error(Task& task) {
  lua_State* state = vm_->state();
  lua_State* thread = task.thread;
  Exchange* exchange = task.exchange;
  bool is_over_budget = vm_->was_over_budget();
  StepResult result = StepResult::kAnswer;
  bool is_exit = false;
  if (exchange && !is_over_budget && task.phase < Phase::kHeaderFilter) {
    push_function("is_exit");
    lua_pushvalue(thread, -1);
    lua_xmove(thread, state, 1);
    is_exit = vm_->call(1, 1) == 0 && lua_toboolean(state, -1);
    lua_pop(state, 1);
  }
  if (!is_exit || !take_exit(*exchange, &result)) {
    const char* text = lua_tostring(thread, -1);
    luaL_traceback(state, thread, text ? text : "an error that is no text", 0);
    note_failure(is_over_budget, exchange, pop_error());
    if (exchange)
      fail_exchange(*exchange, 500, is_over_budget ? "a plugin used too much time" : "a plugin failed");
  }
  if (task.is_waiting) task.abandon_wait();  // it failed after it had said that it waits
  if (task.is_detached) detached_running_--;
  if (exchange) exchange->task = nullptr;
  drop_task(&task);
  relieve_memory();
  return result;
}

// Makes the exchange's answer of an exit() that came as an error. False when there is none.
bool Host::take_exit(Exchange& exchange, StepResult* result) {
  lua_State* state = vm_->state();
  push_function("take_exit");
  lua_pushinteger(state, exchange.slot);
  if (vm_->call(1, 1) != 0) {
    MG_LOG(kError) << pop_error();
    return false;
  }
  if (lua_tointeger(state, -1) == 0) *result = StepResult::kNext;
  lua_pop(state, 1);
  return true;
}

// What has been said to the client already stands.
void Host::fail_exchange(Exchange& exchange, uint16_t status, std::string_view reason) {
  if (!exchange.is_head_sent && exchange.phase != Phase::kLog) exchange.fail(status, reason);
}

void Host::note_failure(bool is_over_budget, const Exchange* exchange, const std::string& message) {
  int32_t number = *running_plugin_;
  if (PluginAccount* account = accounts_.find(number)) account->errors++;
  // What code and confs do that serve no more is not held against those that do.
  bool is_of_now = exchange && snapshot_ && exchange->snapshot.get() == snapshot_;
  if (is_over_budget && is_of_now) accounts_.strike(number, *snapshot_);
  MG_LOG(kError) << accounts_.describe(number) << ": " << message;
  *running_plugin_ = 0;
}

// A state that is full of what scripts keep alive fails every request: another worker starts with an empty
// one.
void Host::relieve_memory() {
  if (vm_->relieve() || is_exiting_) return;
  MG_LOG(kAlert)
      << "plugins keep " << vm_->memory_bytes() / (1u << 20)
      << " MB alive, nearly all that script.memory_max_mb allows; this worker ends when its requests have";
  ::kill(::getpid(), SIGQUIT);
}

void Host::resume_task(Task& task, int arguments) {
  task.end_wait();
  lua_State* state = vm_->state();
  push_function("restore");
  if (task.exchange)
    lua_pushinteger(state, task.exchange->slot);
  else
    lua_pushnil(state);
  if (vm_->call(1, 0) != 0) MG_LOG(kError) << pop_error();
  Exchange* exchange = task.exchange;
  StepResult result = enter(task, arguments);  // may free the task
  if (result != StepResult::kWait && exchange) on_resume_(*exchange, result);
}

void Host::start_detached(int arguments) {
  // The stack holds function and arguments; the coroutine calls run_detached with them.
  lua_State* state = vm_->state();
  tasks_.push_back(std::make_unique<Task>(*this));
  Task* task = tasks_.back().get();
  task->is_detached = true;
  task->thread = lua_newthread(state);
  task->reference = luaL_ref(state, LUA_REGISTRYINDEX);
  push_function("run_detached");
  lua_insert(state, -(arguments + 2));
  lua_xmove(state, task->thread, arguments + 2);
  detached_running_++;
  enter(*task, arguments + 1);
}

std::optional<bool> Host::call_filter(Exchange& exchange, const snapshot::Route& route) {
  lua_State* state = vm_->state();
  if (!route.filter_handle) {
    push_function("compile_filter");
    lua_pushlstring(state, route.filter_function.data(), route.filter_function.size());
    lua_pushlstring(state, route.id.data(), route.id.size());
    if (vm_->call(2, 1) != 0) pop_error(), lua_pushnil(state);
    const int handle = luaL_ref(state, LUA_REGISTRYINDEX);  // of nil it is LUA_REFNIL
    route.filter_handle = std::shared_ptr<int>(new int(handle), [this](int* released) {
      if (current_host) luaL_unref(vm_->state(), LUA_REGISTRYINDEX, *released);
      delete released;
    });
  }
  if (*route.filter_handle == LUA_REFNIL) return std::nullopt;
  push_function("call_filter");
  lua_rawgeti(state, LUA_REGISTRYINDEX, *route.filter_handle);
  lua_pushinteger(state, exchange.slot);
  if (vm_->call(2, 1) != 0) {
    MG_LOG(kError) << "filter_func of route " << route.id << ": " << pop_error();
    return std::nullopt;
  }
  const bool is_accepted = lua_toboolean(state, -1);
  lua_pop(state, 1);
  return is_accepted;
}

void Host::shut_down() {
  is_exiting_ = true;
  run_timers_early(*this);
  push_function("destroy_all");
  if (vm_->call(0, 0) != 0) MG_LOG(kError) << pop_error();
}

}  // namespace moongate::script
