// SPDX-License-Identifier: Apache-2.0
// How Lua calls the sockets. A function that may wait begins an operation and returns nothing, at once or
// when the task was woken; `result` then has the outcome. It returns a text instead when it refused to begin.
#include "script/api_socket.h"

#include <luajit-2.1/lua.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "script/client_contexts.h"
#include "script/host.h"
#include "script/lua_box.h"
#include "script/task.h"
#include "script/tcp_socket.h"
#include "script/udp_socket.h"

namespace moongate::script {
namespace {

constexpr const char* kTcpType = "moongate.TcpSocket";
constexpr const char* kUdpType = "moongate.UdpSocket";
constexpr const char* kStateType = "moongate.Sockets";
constexpr int kSocketsMax = 16384;
constexpr const char* kBusy = "socket busy";
constexpr double kPoolSizeMax = 4096;
constexpr double kTimeoutMaxMs = 1e12;

// What the sockets of one Lua state share: the first upvalue of every function here.
struct SocketState {
  explicit SocketState(Host& owner) : host(owner), pool(owner.loop()), contexts(owner) {}
  Host& host;
  SocketPool pool;
  ClientContexts contexts;
};

SocketState& shared(lua_State* state) { return shared_box<SocketState>(state); }

TcpSocket& check_tcp(lua_State* state) { return check_box<TcpSocket>(state, 1, kTcpType); }
UdpSocket& check_udp(lua_State* state) { return check_box<UdpSocket>(state, 1, kUdpType); }

Task& check_task(lua_State* state) {
  Task* task = shared(state).host.running();
  if (!task) {
    luaL_error(state,
               "a socket cannot wait here: API disabled in init, destroy, filter_func and timers run early; "
               "start a timer");
  }
  return *task;
}

int push_failure(lua_State* state, std::string_view reason) {
  lua_pushnil(state);
  lua_pushlstring(state, reason.data(), reason.size());
  return 2;
}

int refuse(lua_State* state, const char* reason) {
  lua_pushstring(state, reason);
  return 1;
}

std::string_view check_view(lua_State* state, int index) {
  size_t size = 0;
  const char* data = luaL_checklstring(state, index, &size);
  return {data, size};
}

size_t check_size(lua_State* state, int index, double max) {
  double size = luaL_checknumber(state, index);
  luaL_argcheck(state, size >= 0 && size <= max && std::floor(size) == size, index, "a size out of range");
  return static_cast<size_t>(size);
}

base::Duration check_timeout(lua_State* state, int index) {
  double milliseconds = luaL_checknumber(state, index);
  if (!(milliseconds > 0)) return std::chrono::seconds(60);  // the default, as in OpenResty
  auto limit = std::chrono::duration<double, std::milli>(std::min(milliseconds, kTimeoutMaxMs));
  return std::chrono::duration_cast<base::Duration>(limit);
}

// --- making
// ------------------------------------------------------------------------------------------------------

template <class T, class... Rest>
int make_socket(lua_State* state, const char* type, Rest&... rest) {
  SocketState& sockets = shared(state);
  if (WaitingSocket::count() >= kSocketsMax) {
    lua_gc(state, LUA_GCCOLLECT, 0);  // those that scripts forgot to close
    if (WaitingSocket::count() >= kSocketsMax) return push_failure(state, "too many sockets in this worker");
  }
  make_box<T>(state, type) = new T(sockets.host, rest...);
  return 1;
}

int make_tcp(lua_State* state) { return make_socket<TcpSocket>(state, kTcpType, shared(state).pool); }
int make_udp(lua_State* state) { return make_socket<UdpSocket>(state, kUdpType); }

// --- TCP
// ---------------------------------------------------------------------------------------------------------

// tcp_connect(socket, host, port, pool name, pool size)
int tcp_connect(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(nullptr)) return refuse(state, kBusy);
  ConnectTarget target;
  target.host = check_view(state, 2);
  target.port = static_cast<uint16_t>(check_size(state, 3, 65535));
  target.pool_name = check_view(state, 4);
  target.pool_size = std::max<size_t>(check_size(state, 5, kPoolSizeMax), 1);
  socket.claim(state, task);
  socket.start_connect(std::move(target));
  return socket.finish_or_wait(state, task, socket.timeouts.connect);
}

// tcp_handshake(socket, server name, is_verifying)
int tcp_handshake(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(&task)) return refuse(state, kBusy);
  std::string name(check_view(state, 2));
  if (name.find('\0') != name.npos) return refuse(state, "a server name holds no zero byte");
  auto context = shared(state).contexts.get(lua_toboolean(state, 3));
  if (!context) return refuse(state, context.error().detail.c_str());
  socket.start_handshake(context.take(), std::move(name));
  return socket.finish_or_wait(state, task, socket.timeouts.connect);
}

int tcp_send(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(&task)) return refuse(state, kBusy);
  std::string_view data = check_view(state, 2);
  if (data.size() > kSocketSendMaxBytes) return refuse(state, "more than 64 MB in one send");
  socket.start_send(data);
  return socket.finish_or_wait(state, task, socket.timeouts.send);
}

int begin_receive(lua_State* state, Reading reading) {
  TcpSocket& socket = check_tcp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(&task)) return refuse(state, kBusy);
  if (reading.size > kSocketReadMaxBytes) return refuse(state, "more than 64 MB in one receive");
  socket.start_receive(std::move(reading));
  return socket.finish_or_wait(state, task, socket.timeouts.receive);
}

// tcp_receive(socket, size | "*l" | "*a")
int tcp_receive(lua_State* state) {
  Reading reading;
  if (lua_isnumber(state, 2)) {
    reading.kind = Reading::Kind::kSize;
    reading.size = check_size(state, 2, 1e15);
  } else {
    std::string_view pattern = check_view(state, 2);
    if (pattern == "*a")
      reading.kind = Reading::Kind::kAll;
    else
      luaL_argcheck(state, pattern == "*l", 2, "a size, \"*l\" or \"*a\" is expected");
  }
  return begin_receive(state, std::move(reading));
}

// tcp_receive_any(socket, size)
int tcp_receive_any(lua_State* state) {
  Reading reading;
  reading.kind = Reading::Kind::kAny;
  reading.size = check_size(state, 2, 1e15);
  luaL_argcheck(state, reading.size > 0, 2, "a size of at least 1 is expected");
  return begin_receive(state, std::move(reading));
}

// tcp_receive_until(socket, pattern, is_inclusive, size); size 0: no limit but the general one
int tcp_receive_until(lua_State* state) {
  Reading reading;
  reading.kind = Reading::Kind::kUntil;
  reading.pattern = check_view(state, 2);
  luaL_argcheck(state, !reading.pattern.empty() && reading.pattern.size() <= kSocketPatternMaxBytes, 2,
                "a pattern of 1 to 4096 bytes is expected");
  reading.is_inclusive = lua_toboolean(state, 3);
  reading.size = check_size(state, 4, 1e15);
  return begin_receive(state, std::move(reading));
}

int tcp_result(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  if (!socket.failure().empty()) return push_failure(state, socket.failure());
  lua_pushinteger(state, 1);
  return 1;
}

int tcp_send_result(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  if (!socket.failure().empty()) return push_failure(state, socket.failure());
  lua_pushnumber(state, static_cast<lua_Number>(socket.sent_bytes()));
  return 1;
}

// A line's carriage returns do not count, wherever they stand.
void push_received(lua_State* state, const TcpSocket& socket) {
  std::string_view data = socket.received();
  if (socket.is_line() && data.ends_with('\r')) data.remove_suffix(1);
  if (!socket.is_line() || data.find('\r') == std::string_view::npos) {
    lua_pushlstring(state, data.data(), data.size());
    return;
  }
  std::string line(data);
  std::erase(line, '\r');
  lua_pushlstring(state, line.data(), line.size());
}

// -> data | nil, error, the part that came before
int tcp_receive_result(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  if (socket.failure().empty()) {
    push_received(state, socket);
    socket.drop_received();
    return 1;
  }
  push_failure(state, socket.failure());
  push_received(state, socket);
  socket.drop_received();
  return 3;
}

int tcp_is_pattern_reached(lua_State* state) {
  lua_pushboolean(state, check_tcp(state).is_pattern_reached());
  return 1;
}

// tcp_set_timeouts(socket, connect, send, receive), in milliseconds
int tcp_set_timeouts(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  SocketTimeouts timeouts{check_timeout(state, 2), check_timeout(state, 3), check_timeout(state, 4)};
  socket.timeouts = timeouts;
  return 0;
}

// tcp_keep_alive(socket, milliseconds, pool size or 0 for what connect said) -> error?
int tcp_keep_alive(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  if (socket.is_busy_for(shared(state).host.running())) return refuse(state, kBusy);
  double milliseconds = luaL_checknumber(state, 2);
  luaL_argcheck(state, milliseconds >= 0, 2, "a time that is not negative is expected");
  base::Duration idle_max = milliseconds > 0 ? check_timeout(state, 2) : base::Duration::zero();
  size_t pool_size = check_size(state, 3, kPoolSizeMax);
  std::string failure = socket.keep_alive(idle_max, pool_size > 0 ? pool_size : socket.pool_size());
  return failure.empty() ? 0 : refuse(state, failure.c_str());
}

int tcp_reused_times(lua_State* state) {
  TcpSocket& socket = check_tcp(state);
  if (!socket.is_open()) return push_failure(state, "closed");
  lua_pushinteger(state, static_cast<lua_Integer>(socket.reused_times()));
  return 1;
}

template <class T>
int close_socket(lua_State* state, T& socket) {
  if (socket.is_busy_for(shared(state).host.running())) return push_failure(state, kBusy);
  if (!socket.is_open()) return push_failure(state, "closed");
  socket.close();
  lua_pushinteger(state, 1);
  return 1;
}

int tcp_close(lua_State* state) { return close_socket(state, check_tcp(state)); }

// --- UDP
// ---------------------------------------------------------------------------------------------------------

// udp_set_peer(socket, host, port)
int udp_set_peer(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(nullptr)) return refuse(state, kBusy);
  std::string host(check_view(state, 2));
  auto port = static_cast<uint16_t>(check_size(state, 3, 65535));
  socket.claim(state, task);
  socket.start_set_peer(host, port);
  return socket.finish_or_wait(state, task, socket.timeouts.connect);
}

int udp_send(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  if (socket.is_busy_for(&check_task(state))) return push_failure(state, kBusy);
  std::string failure = socket.send(check_view(state, 2));
  if (!failure.empty()) return push_failure(state, failure);
  lua_pushinteger(state, 1);
  return 1;
}

int udp_receive(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  Task& task = check_task(state);
  if (socket.is_busy_for(&task)) return refuse(state, kBusy);
  size_t size = check_size(state, 2, kDatagramMaxBytes);
  luaL_argcheck(state, size > 0, 2, "a size of at least 1 is expected");
  socket.start_receive(size);
  return socket.finish_or_wait(state, task, socket.timeouts.receive);
}

int udp_result(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  if (!socket.failure().empty()) return push_failure(state, socket.failure());
  lua_pushinteger(state, 1);
  return 1;
}

int udp_receive_result(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  if (!socket.failure().empty()) return push_failure(state, socket.failure());
  lua_pushlstring(state, socket.received().data(), socket.received().size());
  socket.drop_received();
  return 1;
}

int udp_set_timeout(lua_State* state) {
  UdpSocket& socket = check_udp(state);
  base::Duration limit = check_timeout(state, 2);
  socket.timeouts = {limit, limit, limit};
  return 0;
}

int udp_close(lua_State* state) { return close_socket(state, check_udp(state)); }

constexpr luaL_Reg kFunctions[] = {
    {"tcp", make_tcp},
    {"tcp_connect", tcp_connect},
    {"tcp_handshake", tcp_handshake},
    {"tcp_send", tcp_send},
    {"tcp_receive", tcp_receive},
    {"tcp_receive_any", tcp_receive_any},
    {"tcp_receive_until", tcp_receive_until},
    {"tcp_is_pattern_reached", tcp_is_pattern_reached},
    {"tcp_result", tcp_result},
    {"tcp_send_result", tcp_send_result},
    {"tcp_receive_result", tcp_receive_result},
    {"tcp_set_timeouts", tcp_set_timeouts},
    {"tcp_keep_alive", tcp_keep_alive},
    {"tcp_reused_times", tcp_reused_times},
    {"tcp_close", tcp_close},
    {"udp", make_udp},
    {"udp_set_peer", udp_set_peer},
    {"udp_send", udp_send},
    {"udp_receive", udp_receive},
    {"udp_result", udp_result},
    {"udp_receive_result", udp_receive_result},
    {"udp_set_timeout", udp_set_timeout},
    {"udp_close", udp_close},
};

}  // namespace

void register_socket_functions(lua_State* state) {
  register_box_type<TcpSocket>(state, kTcpType);
  register_box_type<UdpSocket>(state, kUdpType);
  register_box_module(state, "moongate.native_socket", kStateType, new SocketState(Host::current()),
                      kFunctions);
}

}  // namespace moongate::script
