// SPDX-License-Identifier: Apache-2.0
// A host on a real loop that runs Lua in detached tasks, and servers whose every move is written in the test.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <luajit-2.1/lua.hpp>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/event_loop.h"
#include "net/resolver.h"
#include "script/host.h"

namespace moongate::script_fixture {

/// One accepted connection of a scripted server.
struct Peer {
  int fd;
  void send(const std::string& data) const {
    size_t sent = 0;
    while (sent < data.size()) {
      ssize_t count = ::send(fd, data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<size_t>(count);
    }
  }
  /// Up to `size` bytes; fewer when the other side ends.
  std::string receive(size_t size) const {
    std::string data(size, '\0');
    size_t got = 0;
    while (got < size) {
      ssize_t count = ::recv(fd, data.data() + got, size - got, 0);
      if (count <= 0) break;
      got += static_cast<size_t>(count);
    }
    data.resize(got);
    return data;
  }
  /// Ends the conversation when something else comes: the script then sees "closed".
  void expect(const std::string& wanted) const {
    if (receive(wanted.size()) != wanted) ::shutdown(fd, SHUT_RDWR);
  }
  void wait_for_end() const {
    while (!receive(65536).empty()) {
    }
  }
};

/// Accepts as many connections as there are scripts, one after another, and runs a script on each.
class Server {
 public:
  using Script = std::function<void(const Peer&)>;
  explicit Server(std::vector<Script> scripts, const std::string& unix_path = {}) {
    if (unix_path.empty()) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      open(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
      socklen_t size = sizeof address;
      REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
      port = ntohs(address.sin_port);
    } else {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
      open(AF_UNIX, reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const Script& script : scripts) {
        int fd = ::accept(fd_, nullptr, nullptr);
        if (fd < 0) return;
        script(Peer{fd});
        ::close(fd);
      }
    });
  }
  ~Server() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  int port = 0;

 private:
  void open(int family, const sockaddr* address, socklen_t size) {
    fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd_ >= 0);
    REQUIRE(::bind(fd_, address, size) == 0);
    REQUIRE(::listen(fd_, 64) == 0);
  }
  int fd_ = -1;
  std::thread thread_;
};

/// A host that runs snippets; each leaves its outcome in the global `result`.
class Scripts {
 public:
  explicit Scripts(net::ResolverOptions names = {}) {
    loop_ = net::EventLoop::make().take();
    resolver_ = net::Resolver::make(*loop_, std::move(names)).take();
    script::HostOptions options;
    options.vm.lua_root = MOONGATE_SOURCE_ROOT "/lua";
    options.vm.cpu_budget_ms = 0;
    auto host =
        script::Host::make(*loop_, resolver_.get(), exchanges_, std::move(options), [](auto&, auto) {});
    if (!host) FAIL(host.error().detail);
    host_ = host.take();
  }
  ~Scripts() { host_.reset(); }

  void start(const std::string& body) {
    lua_State* state = host_->vm().state();
    std::string text =
        "local port = PORT local function connected(p) local s = ngx.socket.tcp() s:settimeout(5000) "
        "assert(s:connect('127.0.0.1', p or port)) return s end "
        "local function show(...) local t = {} for i = 1, select('#', ...) do t[i] = tostring((select(i, "
        "...))) end "
        "return table.concat(t, '|') end "
        "local ok, err = pcall(function()\n" +
        body +
        "\nend) "
        "if not ok then result = 'raised: ' .. tostring(err) end";
    INFO(body);
    REQUIRE(luaL_loadbuffer(state, text.data(), text.size(), "=test") == 0);
    lua_pushboolean(state, 0);
    host_->start_detached(1);
  }
  std::string run(const std::string& body) {
    start(body);
    finish();
    return global("result");
  }
  /// Turns the loop until no task runs; a test that hangs is ended by its sockets' timeouts.
  void finish() {
    while (host_->running_count() > 0) loop_->run_once();
  }
  void turn_until(const std::string& name) {
    while (global(name).empty()) loop_->run_once();
  }
  void set_port(int port) {
    lua_pushinteger(host_->vm().state(), port);
    lua_setglobal(host_->vm().state(), "PORT");
  }
  std::string global(const char* name) {
    lua_State* state = host_->vm().state();
    lua_getglobal(state, name);
    size_t size = 0;
    const char* text = lua_tolstring(state, -1, &size);
    std::string value = text ? std::string(text, size) : std::string();
    lua_pop(state, 1);
    return value;
  }
  std::string global(const std::string& name) { return global(name.c_str()); }
  void destroy() { host_.reset(); }
  script::Host& host() { return *host_; }

 private:
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<net::Resolver> resolver_;
  exchange::ExchangePool exchanges_;
  std::unique_ptr<script::Host> host_;
};

inline std::string run_against(std::vector<Server::Script> server_scripts, const std::string& body) {
  Server server(std::move(server_scripts));
  Scripts scripts;
  scripts.set_port(server.port);
  return scripts.run(body);
}

inline int closed_port() {
  Server server({});
  return server.port;
}

}  // namespace moongate::script_fixture
