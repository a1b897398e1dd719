// SPDX-License-Identifier: Apache-2.0
// How Lua calls Redis. `start` begins a run and returns nothing, at once or when the task was woken; `result`
// then has the outcome: as with sockets, nothing that may run out of memory is pushed from the loop.
#include "script/api_redis.h"

#include <luajit-2.1/lua.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>

#include "redis/client.h"
#include "script/client_contexts.h"
#include "script/host.h"
#include "script/lua_box.h"
#include "script/task.h"

namespace moongate::script {
namespace {

constexpr const char* kServerType = "moongate.RedisServer";
constexpr const char* kScriptType = "moongate.RedisScript";
constexpr const char* kStateType = "moongate.Redis";
constexpr double kLimitMaxMs = 1e9;
constexpr size_t kClientsSweptAt = 64;

using Outcome = base::Result<redis::Reply>;

/// A server as a plugin describes it. Which client that is depends on whom the snapshot trusts.
struct ServerBox {
  redis::ClientOptions options;
  bool is_tls = false;
  bool is_verifying = false;
  std::shared_ptr<redis::Client> client;
};

struct ScriptBox {
  std::shared_ptr<const redis::Script> script;
};

// What one Lua state shares: the first upvalue of every function here.
struct RedisState {
  explicit RedisState(Host& owner) : host(owner), contexts(owner), outcome(redis::Reply{}) {}
  base::Result<std::shared_ptr<redis::Client>> client(ServerBox& server);
  Host& host;
  ClientContexts contexts;
  std::unordered_map<std::string, std::weak_ptr<redis::Client>> clients;
  Outcome outcome;  // of the run that ended last; its task takes it at once
};

// Those who would be the same to the server share a client.
std::string key_of(const redis::ClientOptions& options) {
  const redis::Access& access = options.access;
  std::string key = options.is_cluster ? "cluster" : "server";
  const auto add = [&key](const std::string& part) {
    key += ' ' + std::to_string(part.size()) + ':';
    key += part;
  };
  for (const redis::Place& place : options.places) add(place.text());
  add(access.username);
  add(access.password);
  add(std::to_string(access.database));
  add(access.tls ? access.tls->key() : std::string());
  add(access.tls_name);
  return key;
}

base::Result<std::shared_ptr<redis::Client>> RedisState::client(ServerBox& server) {
  redis::Access& access = server.options.access;
  if (server.is_tls) {
    auto context = contexts.get(server.is_verifying);
    if (!context) return context.error();
    if (access.tls != *context) server.client = nullptr;
    access.tls = context.take();
  }
  if (server.client) return server.client;
  auto& known = clients[key_of(server.options)];
  server.client = known.lock();
  if (!server.client) {
    server.client = redis::Client::make(host.loop(), host.resolver(), server.options);
    known = server.client;
    if (clients.size() >= kClientsSweptAt)
      std::erase_if(clients, [](const auto& item) { return item.second.expired(); });
  }
  return server.client;
}

// --- values

RedisState& shared(lua_State* state) { return shared_box<RedisState>(state); }

std::string check_text(lua_State* state, int index) {
  size_t size = 0;
  const char* data = luaL_checklstring(state, index, &size);
  return {data, size};
}

// The texts and numbers of an array. A number has all its digits: Lua's own text would drop some.
std::vector<std::string> check_texts(lua_State* state, int index) {
  luaL_checktype(state, index, LUA_TTABLE);
  std::vector<std::string> texts;
  for (int i = 1, count = static_cast<int>(lua_objlen(state, index)); i <= count; i++) {
    lua_rawgeti(state, index, i);
    if (lua_type(state, -1) == LUA_TNUMBER) {
      char digits[32];
      std::snprintf(digits, sizeof digits, "%.17g", lua_tonumber(state, -1));
      texts.emplace_back(digits);
    } else {
      texts.push_back(check_text(state, -1));
    }
    lua_pop(state, 1);
  }
  return texts;
}

// Inside an array nothing is `false`: a hole would make its length unknown.
void push_reply(lua_State* state, const redis::Reply& reply, bool is_item) {
  luaL_checkstack(state, 3, "a reply nested too deeply");
  switch (reply.kind) {
    case redis::Reply::Kind::kNil:
      if (is_item)
        lua_pushboolean(state, 0);
      else
        lua_pushnil(state);
      return;
    case redis::Reply::Kind::kInteger:
      lua_pushnumber(state, static_cast<lua_Number>(reply.integer));
      return;
    case redis::Reply::Kind::kText:
    case redis::Reply::Kind::kStatus:
    case redis::Reply::Kind::kError:
      lua_pushlstring(state, reply.text.data(), reply.text.size());
      return;
    case redis::Reply::Kind::kArray:
      lua_createtable(state, static_cast<int>(reply.items.size()), 0);
      for (size_t i = 0; i < reply.items.size(); i++) {
        push_reply(state, reply.items[i], true);
        lua_rawseti(state, -2, static_cast<int>(i + 1));
      }
  }
}

// --- functions

// script(text) -> script
int make_script(lua_State* state) {
  auto*& box = make_box<ScriptBox>(state, kScriptType);
  box = new ScriptBox{redis::Script::make(check_text(state, 1))};
  return 1;
}

// place_error("HOST:PORT") -> what is wrong with it, or nothing
int place_error(lua_State* state) {
  auto place = redis::parse_place(check_text(state, 1));
  if (place) return 0;
  lua_pushstring(state, place.error().detail.c_str());
  return 1;
}

// server(places, is_cluster, username, password, database, is_tls, is_verifying, tls_name) -> server | nil,
// error
int make_server(lua_State* state) {
  const std::vector<std::string> places = check_texts(state, 1);
  luaL_argcheck(state, !places.empty() && places.size() <= redis::Client::kServersMax, 1,
                "1 to 1000 places are expected");
  auto*& box = make_box<ServerBox>(state, kServerType);
  box = new ServerBox;
  redis::ClientOptions& options = box->options;
  for (const std::string& text : places) {
    auto place = redis::parse_place(text);
    if (!place) {
      lua_pushnil(state);
      lua_pushstring(state, place.error().detail.c_str());
      return 2;
    }
    options.places.push_back(place.take());
  }
  options.is_cluster = lua_toboolean(state, 2);
  options.access.username = check_text(state, 3);
  options.access.password = check_text(state, 4);
  options.access.database = static_cast<int>(luaL_checkinteger(state, 5));
  box->is_tls = lua_toboolean(state, 6);
  box->is_verifying = lua_toboolean(state, 7);
  options.access.tls_name = check_text(state, 8);
  return 1;
}

// Goes with the wait, whatever way that ends: then nobody is left to be told.
struct RunWait {
  explicit RunWait(std::shared_ptr<redis::Run> waited) : run(std::move(waited)) {}
  RunWait(const RunWait&) = delete;
  RunWait& operator=(const RunWait&) = delete;
  ~RunWait() { run->notify(nullptr); }
  std::shared_ptr<redis::Run> run;
};

// start(server, script, milliseconds, keys, arguments)
int start(lua_State* state) {
  auto& server = check_box<ServerBox>(state, 1, kServerType);
  auto& script = check_box<ScriptBox>(state, 2, kScriptType);
  const double limit_ms = luaL_checknumber(state, 3);
  luaL_argcheck(state, limit_ms >= 1 && limit_ms <= kLimitMaxMs, 3, "a time of at least 1 ms is expected");
  redis::Run::Job job{script.script,
                      {check_texts(state, 4), check_texts(state, 5)},
                      std::chrono::milliseconds(static_cast<int64_t>(limit_ms))};
  RedisState& redis = shared(state);
  Task* task = redis.host.running();
  if (!task) return luaL_error(state, "Redis cannot be asked here: nothing can wait; start a timer");
  if (const char* reason = task->refuse_wait(state)) return luaL_error(state, "%s", reason);
  auto client = redis.client(server);
  if (!client) {
    redis.outcome = client.error();
    return 0;
  }
  auto run = (*client)->start(std::move(job));
  if (run->is_over()) {
    redis.outcome = run->outcome();
    return 0;
  }
  run->notify([&redis, task, ended = run.get()] {
    redis.outcome = ended->outcome();
    task->wake([](lua_State*) { return 0; });
  });
  auto wait = std::make_shared<RunWait>(std::move(run));
  task->begin_wait([wait] { wait->run->notify(nullptr); });
  return lua_yield(state, 0);
}

// result() -> reply | nil, error
int take_result(lua_State* state) {
  RedisState& redis = shared(state);
  const Outcome outcome = std::move(redis.outcome);
  redis.outcome = redis::Reply{};
  if (outcome && !outcome->is_error()) {
    push_reply(state, *outcome, false);
    return 1;
  }
  const std::string& reason = outcome ? outcome->text : outcome.error().detail;
  lua_pushnil(state);
  lua_pushlstring(state, reason.data(), reason.size());
  return 2;
}

constexpr luaL_Reg kFunctions[] = {
    {"script", make_script}, {"place_error", place_error}, {"server", make_server},
    {"start", start},        {"result", take_result},
};

}  // namespace

void register_redis_functions(lua_State* state) {
  register_box_type<ServerBox>(state, kServerType);
  register_box_type<ScriptBox>(state, kScriptType);
  register_box_module(state, "moongate.native_redis", kStateType, new RedisState(Host::current()),
                      kFunctions);
}

}  // namespace moongate::script
