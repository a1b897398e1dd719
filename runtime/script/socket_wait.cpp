// SPDX-License-Identifier: Apache-2.0
#include "script/socket_wait.h"

#include <luajit-2.1/lua.hpp>

#include <cctype>
#include <cstring>
#include <memory>

#include "script/host.h"
#include "script/task.h"

namespace moongate::script {
namespace {

int socket_count = 0;

uint16_t* port_of(net::SocketAddress& address) {
  if (address.family() == AF_INET) return &reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port;
  if (address.family() == AF_INET6) return &reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port;
  return nullptr;
}

}  // namespace

// Lives in the task's on_cancel. Whatever way the wait ends for the task (cancelled, dropped, the host
// destroyed), the guard goes with it, and the socket learns that nobody is left to wake.
struct SocketWaitGuard {
  WaitingSocket* socket;
  explicit SocketWaitGuard(WaitingSocket& waited) : socket(&waited) {}
  SocketWaitGuard(const SocketWaitGuard&) = delete;
  SocketWaitGuard& operator=(const SocketWaitGuard&) = delete;
  ~SocketWaitGuard() { release(); }
  void release() {
    if (!socket) return;
    WaitingSocket* waited = socket;
    waited->on_abandoned();
    waited->end_wait();
  }
};

WaitingSocket::WaitingSocket(Host& host) : host_(host) { socket_count++; }

WaitingSocket::~WaitingSocket() {
  socket_count--;
  if (guard_) guard_->socket = nullptr;
}

int WaitingSocket::count() { return socket_count; }

WaitingSocket::Owner WaitingSocket::owner_of(const Task& task) {
  if (task.exchange) return {task.exchange, task.exchange->started.time_since_epoch().count()};
  return {task.thread, 0};
}

void WaitingSocket::claim(lua_State* state, const Task& task) {
  if (!task.exchange) {
    // The coroutine stays in memory as long as the socket, so that no other can get its address.
    lua_createtable(state, 1, 0);
    lua_rawgeti(state, LUA_REGISTRYINDEX, task.reference);
    lua_rawseti(state, -2, 1);
    lua_setfenv(state, 1);
  }
  owner_ = owner_of(task);
}

bool WaitingSocket::is_busy_for(const Task* task) const {
  if (waiter_) return true;
  return task && owner_.identity && owner_of(*task) != owner_;
}

int WaitingSocket::finish_or_wait(lua_State* state, Task& task, base::Duration limit) {
  if (is_done_) return 0;
  if (const char* reason = task.refuse_wait(state)) {
    on_abandoned();
    return luaL_error(state, "%s", reason);
  }
  auto guard = std::make_shared<SocketWaitGuard>(*this);
  lua_pushvalue(state, 1);
  anchor_ = luaL_ref(state, LUA_REGISTRYINDEX);
  guard_ = guard.get();
  waiter_ = &task;
  task.begin_wait([guard] { guard->release(); });
  task.on_timeout = [this](lua_State*) {
    on_deadline();
    end_wait();
    return 0;
  };
  task.timer.start(task.host.loop().timers(), limit);
  return lua_yield(state, 0);
}

Task* WaitingSocket::end_wait() {
  Task* task = waiter_;
  waiter_ = nullptr;
  if (guard_) guard_->socket = nullptr;
  guard_ = nullptr;
  int anchor = anchor_;
  anchor_ = 0;
  if (anchor != 0) luaL_unref(host_.vm().state(), LUA_REGISTRYINDEX, anchor);
  return task;
}

void WaitingSocket::wake_if_done() {
  if (!is_done_ || !waiter_) return;
  end_wait()->wake([](lua_State*) { return 0; });
}

// --- names
// -------------------------------------------------------------------------------------------------------

SocketLookup::Answer SocketLookup::make_answer(
    const base::Result<std::shared_ptr<const Addresses>>& result) const {
  if (!result) return {nullptr, name_ + " could not be resolved: " + result.error().detail};
  if ((*result)->empty()) return {nullptr, name_ + " could not be resolved: it has no address"};
  auto addresses = std::make_shared<Addresses>(**result);
  for (net::SocketAddress& address : *addresses) {
    if (uint16_t* port = port_of(address)) *port = htons(port_);
  }
  return {std::move(addresses), {}};
}

SocketLookup::Answer SocketLookup::start(Host& host, const std::string& name, uint16_t port) {
  stop();
  name_ = name;
  port_ = port;
  if (name.starts_with("unix:")) {
    auto address = net::make_unix_address(name.substr(5));
    if (!address) return {nullptr, address.error().detail};
    return {std::make_shared<Addresses>(1, *address), {}};
  }
  if (net::is_ip_literal(name)) {
    auto address = net::make_ip_address(name, port);
    if (!address) return {nullptr, address.error().detail};
    return {std::make_shared<Addresses>(1, *address), {}};
  }
  if (!host.resolver()) return {nullptr, "no resolver defined to resolve \"" + name + "\""};
  if (auto known = host.resolver()->find(name)) return make_answer(known);
  question_ = std::make_shared<Question>(this);
  net::EventLoop& loop = host.loop();
  host.resolver()->resolve(name, [weak = std::weak_ptr<Question>(question_), &loop](const auto& result) {
    auto question = weak.lock();
    if (!question) return;
    question->lookup->answer_ = question->lookup->make_answer(result);
    question->lookup->later_.schedule(loop);
  });
  return {};
}

void SocketLookup::stop() {
  question_.reset();
  later_.cancel();
  answer_ = {};
}

void SocketLookup::on_later(void* self) {
  auto* lookup = static_cast<SocketLookup*>(self);
  lookup->question_.reset();
  lookup->callback_(lookup->argument_, std::move(lookup->answer_));
}

std::string describe_errno(int number) {
  std::string text = std::strerror(number);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace moongate::script
