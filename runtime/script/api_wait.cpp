// SPDX-License-Identifier: Apache-2.0
// A function that waits marks the running task and yields; whatever it waits for wakes the task later. Inside
// a coroutine of the plugin's own, the yield is passed outwards by lua/lib/moongate/runtime/coroutines.lua;
// results come back the same way, so they are always pushed on the task's own thread.
#include "script/api_wait.h"

#include <luajit-2.1/lua.hpp>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/log.h"
#include "exchange/body_keeper.h"
#include "script/api_redis.h"
#include "script/api_socket.h"
#include "script/host.h"
#include "script/task.h"

namespace moongate::script {
namespace {

constexpr size_t kTimersPendingMax = 16384;
constexpr int kTimersRunningMax = 4096;

Task& waiting_task(lua_State* state) {
  Task* task = Host::current().running();
  if (!task)
    luaL_error(state,
               "this cannot wait here: API disabled in init, destroy, filter_func and timers run early; "
               "start a timer");
  if (const char* reason = task->refuse_wait(state)) luaL_error(state, "%s", reason);
  return *task;
}

base::Duration to_duration(double seconds) {
  return std::chrono::duration_cast<base::Duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e9)));
}

int sleep(lua_State* state) {
  double seconds = luaL_checknumber(state, 1);
  Task& task = waiting_task(state);
  task.begin_wait(nullptr);
  task.timer.start(task.host.loop().timers(), to_duration(seconds));
  return lua_yield(state, 0);
}

// Does nothing: see runtime/runner.lua.
int seam(lua_State*) { return 0; }

int is_waiting(lua_State* state) {
  Task* task = Host::current().running();
  lua_pushboolean(state, task && task->is_waiting);
  return 1;
}

// The wait that the running task has just begun cannot be passed outwards.
int abandon(lua_State*) {
  Task* task = Host::current().running();
  if (task && task->is_waiting) task->abandon_wait();
  return 0;
}

// --- the request's body
// ----------------------------------------------------------------------------------------

using exchange::BodyState;

int push_size_error(lua_State* state, uint64_t size, uint64_t size_max) {
  lua_pushnil(state);
  lua_pushfstring(state, "request size %f is greater than the maximum size %f allowed",
                  static_cast<double>(size), static_cast<double>(size_max));
  return 2;
}

// Collects a body into the exchange for the task that asked. Lives until the body is there or the exchange
// ends. One that grows over the limit is no fault of the request: what came is kept, and goes upstream before
// the rest.
class BodyCollector final : public exchange::BodyKeeper {
 public:
  BodyCollector(Task& task, uint64_t size_max)
      : BodyKeeper(*task.exchange, Host::current().exchanges().body_files()),
        task_(task),
        size_max_(size_max) {}

  int push(lua_State* thread) {
    if (reason_.empty() && !is_too_large()) {
      if (exchange_.body.is_in_file()) return 0;  // who wants it reads the file
      std::string_view body = exchange_.body.view();
      lua_pushlstring(thread, body.data(), body.size());
      return 1;
    }
    if (reason_.empty()) return push_size_error(thread, exchange_.body.size(), size_max_);
    lua_pushnil(thread);
    lua_pushlstring(thread, reason_.data(), reason_.size());
    return 2;
  }
  bool is_over() const { return is_over_; }

 private:
  bool is_collecting() const override { return !is_over_; }
  void on_kept(bool is_last) override {
    if (is_last)
      finish(BodyState::kCollected, {});
    else if (is_too_large())
      finish(BodyState::kUnread, {});
  }
  void finish(BodyState state, std::string_view reason) override {
    is_over_ = true;
    if (exchange_.client) exchange_.client->set_body_sink(nullptr);
    reason_ = reason;
    exchange_.body_state = state;
    if (task_.is_waiting) task_.wake([this](lua_State* thread) { return push(thread); });
  }
  bool is_too_large() const { return exchange_.body.size() > size_max_; }

  Task& task_;
  uint64_t size_max_;
  bool is_over_ = false;
  std::string reason_;
};

int read_body(lua_State* state) {
  constexpr uint64_t kBodyMaxBytes = 64u << 20;  // when the plugin names no limit
  double wanted_max = luaL_optnumber(state, 1, 0);
  uint64_t size_max = wanted_max < 0 ? UINT64_MAX : static_cast<uint64_t>(wanted_max);
  if (size_max == 0) size_max = kBodyMaxBytes;
  Task& task = waiting_task(state);
  exchange::Exchange* exchange = task.exchange;
  if (!exchange || !exchange->client) return luaL_error(state, "there is no request to read a body from");
  if (exchange->body_state == BodyState::kCollected || exchange->body_state == BodyState::kReplaced) {
    if (exchange->body.size() > size_max) return push_size_error(state, exchange->body.size(), size_max);
    if (exchange->body.is_in_file()) return 0;
    std::string_view body = exchange->body.view();
    lua_pushlstring(state, body.data(), body.size());
    return 1;
  }
  if (exchange->body_state != BodyState::kUnread) {
    lua_pushnil(state);
    return 1;
  }
  if (exchange->body.size() > size_max)  // another asked before, with a limit that did not do either
    return push_size_error(state, exchange->body.size(), size_max);
  if (exchange->request.body == http::BodyKind::kLength && exchange->request.content_length > size_max) {
    return push_size_error(state, exchange->request.content_length, size_max);
  }
  exchange->body_state = BodyState::kReading;
  auto collector = std::make_shared<BodyCollector>(task, size_max);
  exchange->client->set_body_sink(collector.get());
  exchange->client->read_body_later();  // what is here already comes at once, without waiting
  if (collector->is_over()) {
    return collector->push(state);
  }
  task.begin_wait(
      [collector, exchange] {
        if (exchange->client) exchange->client->set_body_sink(nullptr);
      },
      true);
  return lua_yield(state, 0);
}

// --- timers
// ------------------------------------------------------------------------------------------------------

struct ScriptTimer {
  explicit ScriptTimer(Host& owner) : host(owner), timer(on_due, this) {}
  static void on_due(void* self);
  Host& host;
  net::Timer timer;
  int function_ref = 0;  // a table {fn, args...}
  int count = 0;         // function and arguments
  base::Duration interval{0};
  bool is_repeated = false;
};

std::vector<std::unique_ptr<ScriptTimer>>& timers() {
  static std::vector<std::unique_ptr<ScriptTimer>> list;
  return list;
}

std::unique_ptr<ScriptTimer> take_timer(ScriptTimer* timer) {
  auto& list = timers();
  auto found =
      std::find_if(list.begin(), list.end(), [timer](const auto& owned) { return owned.get() == timer; });
  if (found == list.end()) return nullptr;
  std::unique_ptr<ScriptTimer> taken = std::move(*found);
  *found = std::move(list.back());
  list.pop_back();
  return taken;
}

// Pushes the function, whether it is premature, and the arguments.
void push_call(ScriptTimer& timer, lua_State* state, bool is_premature) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, timer.function_ref);
  int table = lua_gettop(state);
  lua_rawgeti(state, table, 1);
  lua_pushboolean(state, is_premature);
  for (int i = 2; i <= timer.count; i++) lua_rawgeti(state, table, i);
  lua_remove(state, table);
}

void ScriptTimer::on_due(void* self) {
  auto* timer = static_cast<ScriptTimer*>(self);
  Host& host = timer->host;
  lua_State* state = host.vm().state();
  if (host.running_count() >= kTimersRunningMax) {
    MG_LOG(kError) << kTimersRunningMax << " timers run already: one more was put off by a second";
    timer->timer.start(host.loop().timers(), std::chrono::seconds(1));
    return;
  }
  push_call(*timer, state, false);
  int arguments = timer->count;
  if (timer->is_repeated) {
    timer->timer.start(host.loop().timers(), timer->interval);
  } else {
    luaL_unref(state, LUA_REGISTRYINDEX, timer->function_ref);
    take_timer(timer);
  }
  host.start_detached(arguments);
}

int start_timer(lua_State* state) {
  double delay = luaL_checknumber(state, 1);
  bool is_repeated = lua_toboolean(state, 2);
  luaL_checktype(state, 3, LUA_TFUNCTION);
  Host& host = Host::current();
  if (host.is_exiting() || timers().size() >= kTimersPendingMax) {
    lua_pushnil(state);
    lua_pushstring(state, host.is_exiting() ? "process exiting" : "too many pending timers");
    return 2;
  }
  int count = lua_gettop(state) - 2;
  lua_createtable(state, count, 0);
  for (int i = 1; i <= count; i++) {
    lua_pushvalue(state, i + 2);
    lua_rawseti(state, -2, i);
  }
  auto timer = std::make_unique<ScriptTimer>(host);
  timer->function_ref = luaL_ref(state, LUA_REGISTRYINDEX);
  timer->count = count;
  timer->is_repeated = is_repeated;
  timer->interval = std::max<base::Duration>(to_duration(delay), std::chrono::milliseconds(1));
  timer->timer.start(host.loop().timers(), to_duration(delay));
  timers().push_back(std::move(timer));
  lua_pushinteger(state, 1);
  return 1;
}

int timer_counts(lua_State* state) {
  lua_pushinteger(state, static_cast<lua_Integer>(timers().size()));
  lua_pushinteger(state, Host::current().running_count());
  return 2;
}

}  // namespace

void register_wait_functions(lua_State* state) {
  timers().clear();
  const luaL_Reg functions[] = {
      {"sleep", sleep}, {"is_waiting", is_waiting}, {"abandon", abandon},           {"read_body", read_body},
      {"seam", seam},   {"timer", start_timer},     {"timer_counts", timer_counts}, {nullptr, nullptr}};
  lua_getglobal(state, "package");
  lua_getfield(state, -1, "loaded");
  lua_newtable(state);
  luaL_register(state, nullptr, functions);
  lua_setfield(state, -2, "moongate.native_wait");
  lua_pop(state, 2);
  register_socket_functions(state);
  register_redis_functions(state);
}

void run_timers_early(Host& host) {
  lua_State* state = host.vm().state();
  auto due = std::move(timers());
  timers().clear();
  for (auto& timer : due) {
    timer->timer.stop();
    host.push_function("run_timers_early");
    lua_rawgeti(state, LUA_REGISTRYINDEX, timer->function_ref);
    int table = lua_gettop(state);
    for (int i = 1; i <= timer->count; i++) lua_rawgeti(state, table, i);
    lua_remove(state, table);
    if (host.vm().call(timer->count, 0) != 0) MG_LOG(kError) << host.pop_error();
  }
}

}  // namespace moongate::script
