// SPDX-License-Identifier: Apache-2.0
// TCP for the test kit: blocking from Lua's side, each call with a deadline.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>

#include "script/test_functions.h"

namespace moongate::script {
namespace {

constexpr const char* kSocketType = "moongate.test.Socket";
constexpr size_t kReceiveMaxBytes = 64 * 1024;
constexpr int kPortMin = 10000;
constexpr int kPortTries = 1000;

struct Socket {
  int fd;
};

Socket* check_socket(lua_State* state) {
  auto* socket = static_cast<Socket*>(luaL_checkudata(state, 1, kSocketType));
  luaL_argcheck(state, socket->fd >= 0, 1, "the socket is closed");
  return socket;
}

int close_socket(lua_State* state) {
  auto* socket = static_cast<Socket*>(luaL_checkudata(state, 1, kSocketType));
  if (socket->fd >= 0) ::close(socket->fd);
  socket->fd = -1;
  return 0;
}

int push_failure(lua_State* state, const char* reason) {
  lua_pushnil(state);
  lua_pushstring(state, reason);
  return 2;
}

/// False when `events` did not come before the deadline.
bool wait_for(lua_State* state, int fd, short events, double deadline) {
  while (true) {
    const int wait_ms = poll_limit_ms(state, deadline);
    pollfd entry{fd, events, 0};
    if (::poll(&entry, 1, wait_ms) > 0) return true;
    if (wait_ms == 0) return false;
  }
}

bool loopback_address(lua_State* state, const char* host, int port, sockaddr_in* out) {
  *out = {};
  out->sin_family = AF_INET;
  out->sin_port = htons(static_cast<uint16_t>(port));
  luaL_argcheck(state, port > 0 && port < 65536, 2, "no port");
  return ::inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

/// connect(host, port, seconds) -> socket | nil, error. `host` is an IPv4 address.
int connect_to(lua_State* state) {
  sockaddr_in address{};
  if (!loopback_address(state, luaL_checkstring(state, 1), static_cast<int>(luaL_checkinteger(state, 2)),
                        &address)) {
    return luaL_argerror(state, 1, "not an IPv4 address");
  }
  const double deadline = monotonic_seconds() + luaL_checknumber(state, 3);
  auto* socket = static_cast<Socket*>(lua_newuserdata(state, sizeof(Socket)));
  socket->fd = -1;
  luaL_getmetatable(state, kSocketType);
  lua_setmetatable(state, -2);
  socket->fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket->fd < 0) return push_failure(state, std::strerror(errno));
  const int on = 1;
  ::setsockopt(socket->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket->fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return 1;
  if (errno != EINPROGRESS) return push_failure(state, std::strerror(errno));
  if (!wait_for(state, socket->fd, POLLOUT, deadline)) return push_failure(state, "timeout");
  int fault = 0;
  socklen_t size = sizeof fault;
  if (::getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0) fault = errno;
  return fault == 0 ? 1 : push_failure(state, std::strerror(fault));
}

/// socket:send(data, seconds) -> true | nil, error
int send_all(lua_State* state) {
  const Socket* socket = check_socket(state);
  size_t size = 0;
  const char* data = luaL_checklstring(state, 2, &size);
  const double deadline = monotonic_seconds() + luaL_checknumber(state, 3);
  while (size > 0) {
    const ssize_t sent = ::send(socket->fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0) {
      data += sent;
      size -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      if (!wait_for(state, socket->fd, POLLOUT, deadline)) return push_failure(state, "timeout");
    } else if (errno != EINTR) {
      return push_failure(state, std::strerror(errno));
    }
  }
  lua_pushboolean(state, 1);
  return 1;
}

/// socket:receive(seconds) -> some bytes | nil, "closed", "timeout" or another error
int receive_some(lua_State* state) {
  const Socket* socket = check_socket(state);
  const double deadline = monotonic_seconds() + luaL_checknumber(state, 2);
  char buffer[kReceiveMaxBytes];
  while (true) {
    const ssize_t got = ::recv(socket->fd, buffer, sizeof buffer, 0);
    if (got > 0) {
      lua_pushlstring(state, buffer, static_cast<size_t>(got));
      return 1;
    }
    if (got == 0) return push_failure(state, "closed");
    if (errno == EAGAIN) {
      if (!wait_for(state, socket->fd, POLLIN, deadline)) return push_failure(state, "timeout");
    } else if (errno != EINTR) {
      return push_failure(state, std::strerror(errno));
    }
  }
}

int first_ephemeral_port() {
  int first = 32768;
  if (std::FILE* file = std::fopen("/proc/sys/net/ipv4/ip_local_port_range", "r")) {
    if (std::fscanf(file, "%d", &first) != 1) first = 32768;
    std::fclose(file);
  }
  return std::max(first, kPortMin + 1000);
}

bool can_bind(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return is_free;
}

/// The file in which test programs claim ports; -1 when there can be none.
int open_claims() {
  const char* folder = std::getenv("TMPDIR");
  const std::string path = std::string(folder != nullptr && *folder != '\0' ? folder : "/tmp") +
                           "/moongate-test-ports-" + std::to_string(::getuid());
  return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/// False when another process has the port for its tests: it may not have bound it yet, and two gateways may
/// listen on one port, each answering some of the other's requests. A lock on one byte of a file, for this
/// process's life; the end-to-end tests have the same.
bool claim(int port) {
  static const int claims = open_claims();
  struct flock byte {};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = port;
  byte.l_len = 1;
  return claims < 0 || ::fcntl(claims, F_SETLK, &byte) == 0;
}

/// free_port() -> port. Random and below the ephemeral range: no outgoing connection takes it before its
/// server does, and no other process that asks here gets it.
int free_port(lua_State* state) {
  static std::mt19937 engine{std::random_device{}()};
  static std::set<int> given;
  std::uniform_int_distribution<int> choose(kPortMin, first_ephemeral_port() - 1);
  for (int i = 0; i < kPortTries; ++i) {
    const int port = choose(engine);
    if (given.count(port) > 0 || !claim(port) || !can_bind(port)) continue;
    given.insert(port);
    lua_pushinteger(state, port);
    return 1;
  }
  return luaL_error(state, "no free port");
}

}  // namespace

void register_test_sockets(lua_State* state) {
  constexpr luaL_Reg kMethods[] = {
      {"send", send_all}, {"receive", receive_some}, {"close", close_socket}, {nullptr, nullptr}};
  luaL_newmetatable(state, kSocketType);
  lua_pushcfunction(state, close_socket);
  lua_setfield(state, -2, "__gc");
  lua_newtable(state);
  luaL_register(state, nullptr, kMethods);
  lua_setfield(state, -2, "__index");
  lua_pop(state, 1);
  constexpr luaL_Reg kFunctions[] = {{"connect", connect_to}, {"free_port", free_port}, {nullptr, nullptr}};
  luaL_register(state, nullptr, kFunctions);
}

}  // namespace moongate::script
