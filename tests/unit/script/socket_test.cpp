// SPDX-License-Identifier: Apache-2.0
// Sockets as scripts see them: a host on a real loop runs Lua in detached tasks, against servers whose every move is
// written in the test.
#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <luajit-2.1/lua.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/event_loop.h"
#include "net/resolver.h"
#include "script/host.h"

using namespace moongate;

namespace {

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
  void wait_for_end() const { while (!receive(65536).empty()) {} }
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
    options.vm.lua_root = (std::filesystem::path(__FILE__).parent_path() / "../../../lua").lexically_normal().string();
    options.vm.cpu_budget_ms = 0;
    auto host = script::Host::make(*loop_, resolver_.get(), exchanges_, std::move(options), [](auto&, auto) {});
    if (!host) FAIL(host.error().detail);
    host_ = host.take();
  }
  ~Scripts() { host_.reset(); }

  void start(const std::string& body) {
    lua_State* state = host_->vm().state();
    std::string text = "local port = PORT local function connected(p) local s = ngx.socket.tcp() s:settimeout(5000) "
                       "assert(s:connect('127.0.0.1', p or port)) return s end "
                       "local function show(...) local t = {} for i = 1, select('#', ...) do t[i] = tostring((select(i, ...))) end "
                       "return table.concat(t, '|') end "
                       "local ok, err = pcall(function()\n" + body + "\nend) "
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
  void finish() { while (host_->running_count() > 0) loop_->run_once(); }
  void turn_until(const std::string& name) { while (global(name).empty()) loop_->run_once(); }
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

std::string run_against(std::vector<Server::Script> server_scripts, const std::string& body) {
  Server server(std::move(server_scripts));
  Scripts scripts;
  scripts.set_port(server.port);
  return scripts.run(body);
}

int closed_port() {
  Server server({});
  return server.port;
}

}  // namespace

TEST_CASE("receives lines, sizes and the rest, whatever pieces they come in") {
  auto talk = [](const Peer& peer) {
    for (const char* piece : {"fir", "st\r", "\nsec\rond\n12", "345", "67the ", "rest"}) {
      peer.send(piece);
      CHECK(peer.receive(1) == "+");
    }
  };
  CHECK(run_against({talk}, R"(
    local s = connected()
    s:settimeout(5000)
    local function step() s:send("+") end
    step() step() step()
    local a, b = s:receive(), s:receive("*l")
    step() step()
    local c = s:receive(7)
    step()
    result = show(a, b, c, s:receive("*a"), s:receive("*a"))
  )") == "first|second|1234567|the rest|nil|closed|");
}

TEST_CASE("a receive of size 0 is an empty string and needs no data") {
  CHECK(run_against({[](const Peer& peer) { peer.wait_for_end(); }}, "local s = connected() result = '[' .. s:receive(0) .. ']'") == "[]");
}

TEST_CASE("a timeout gives what came before it and leaves the connection open") {
  auto talk = [](const Peer& peer) {
    peer.send("half");
    CHECK(peer.receive(1) == "+");
    peer.send(" done\n");
    peer.wait_for_end();
  };
  CHECK(run_against({talk}, R"(
    local s = connected()
    s:settimeout(100)
    local first = show(s:receive())
    s:send("+")
    s:settimeout(5000)
    result = first .. "," .. show(s:receive())
  )") == "nil|timeout|half, done");
}

TEST_CASE("a connection that ends in the middle says closed, with the part that came") {
  CHECK(run_against({[](const Peer& peer) { peer.send("abc"); }}, R"(
    local s = connected()
    local first = show(s:receive(10))
    result = first .. "," .. show(s:receive(1)) .. "," .. show(s:send("x")) .. "," .. show(s:close())
  )") == "nil|closed|abc,nil|closed|,nil|closed,nil|closed");
}

TEST_CASE("receiveany takes what is there, up to its limit") {
  auto talk = [](const Peer& peer) { peer.send("abcdef"); peer.receive(1); };
  CHECK(run_against({talk}, R"(
    local s = connected()
    local all = ""
    while #all < 6 do
      local piece = s:receiveany(4)
      assert(#piece <= 4)
      all = all .. piece
    end
    s:send("x")
    result = all .. show(s:receiveany(4))
  )") == "abcdefnil|closed|");
}

TEST_CASE("receiveuntil finds its pattern across reads, whole and in pieces") {
  auto talk = [](const Peer& peer) {
    for (const char* piece : {"one-", "-", "END", "two--EN--END", "three--E", "ND", "a--b--END", "tail"}) {
      peer.send(piece);
      CHECK(peer.receive(1) == "+");
    }
  };
  CHECK(run_against({talk}, R"(
    local s = connected()
    local more = coroutine.wrap(function() while true do s:send("+") coroutine.yield() end end)
    for _ = 1, 8 do more() end
    local reader = s:receiveuntil("--END")
    local out = { show(reader()), show(reader()) }
    local inclusive = s:receiveuntil("--END", { inclusive = true })
    out[3] = show(inclusive())
    while true do
      local piece, err = reader(2)
      if not piece then out[#out + 1] = show(piece, err) break end
      out[#out + 1] = piece
    end
    out[#out + 1] = show(reader())
    result = table.concat(out, ",")
  )") == "one,two--EN,three--END,a-,-b,,nil|nil,nil|closed|tail");
}

TEST_CASE("a piece before the pattern comes as soon as it cannot be part of it") {
  auto talk = [](const Peer& peer) { peer.send("hell"); peer.wait_for_end(); };
  CHECK(run_against({talk}, "local s = connected() result = s:receiveuntil('--END')(4)") == "hell");
}

TEST_CASE("a send that the peer is slow to take waits for it") {
  constexpr size_t kSize = 24u << 20;
  std::atomic<size_t> got = 0;
  auto talk = [&got](const Peer& peer) {
    peer.send("go\n");
    got = peer.receive(kSize).size();
    peer.send("done\n");
  };
  CHECK(run_against({talk}, R"(
    local s = connected()
    assert(s:receive() == "go")
    local part = string.rep("x", 1048576)
    local parts = {}
    for i = 1, 23 do parts[i] = { part } end
    result = show(s:send({ parts, string.rep("y", 1048576 - 2), 12 })) .. "," .. show(s:receive())
  )") == "25165824,done");
  CHECK(got == kSize);
}

TEST_CASE("a send that nobody takes ends with timeout and closes the connection") {
  auto talk = [](const Peer& peer) {
    char byte;
    ::recv(peer.fd, &byte, 1, 0);
    peer.wait_for_end();
  };
  // The server reads only after the script is over: the listen queue takes the second connection, nobody reads from it.
  CHECK(run_against({talk}, R"(
    local first, second = connected(), connected()
    second:settimeout(100)
    local sent = show(second:send(string.rep("x", 32 * 1048576)))
    result = sent .. "," .. show(second:send("x"))
    first:close()
  )") == "nil|timeout,nil|closed");
}

TEST_CASE("connecting says why it failed") {
  Scripts scripts;
  scripts.set_port(closed_port());
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('127.0.0.1', port))") == "nil|connection refused");
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('unix:/nonexistent/socket'))") == "nil|no such file or directory");
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('127.0.0.1', 65536))") == "nil|bad port number: 65536");
  CHECK(scripts.run("result = show(ngx.socket.tcp():send('x'))") == "nil|closed");
  CHECK(scripts.run("result = show(ngx.socket.tcp():sslhandshake())") == "nil|TLS to upstreams from Lua is not in this version");
  CHECK(scripts.run("ngx.socket.tcp():receive('*x')").starts_with("raised: bad argument #2"));
}

TEST_CASE("connects to names through the gateway's resolver and to unix sockets") {
  auto greet = [](const Peer& peer) { peer.send("hello\n"); };
  Server server({greet});
  net::ResolverOptions names;
  names.hosts = {{"things.test", "127.0.0.1"}};
  Scripts scripts(names);
  scripts.set_port(server.port);
  CHECK(scripts.run("local s = ngx.socket.connect('things.test', port) result = s:receive()") == "hello");

  std::string folder = (std::filesystem::temp_directory_path() / "moongate-socket-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  {
    Server local({greet}, folder + "/s");
    CHECK(scripts.run("local s = ngx.socket.connect('unix:" + folder + "/s') result = s:receive()") == "hello");
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("a pool gives a connection again while it is alive and silent") {
  auto echo = [](const Peer& peer) {
    while (true) {
      std::string data = peer.receive(1);
      if (data.empty() || data == "q") return;
      peer.send(data);
    }
  };
  CHECK(run_against({echo, echo}, R"(
    local s = connected()
    s:send("a") s:receive(1)
    local out = { show(s:getreusedtimes()), show(s:setkeepalive(60000, 2)), show(s:getreusedtimes()) }
    local t = connected()
    t:send("b")
    out[4] = show(t:receive(1), t:getreusedtimes())
    t:send("c") t:receiveany(1) t:send("q")
    t:settimeout(5000)
    out[5] = show(t:receive(1))
    out[6] = show(t:setkeepalive())
    t = connected()
    out[7] = show(t:getreusedtimes())
    result = table.concat(out, ",")
  )") == "0,1,nil|closed,b|1,nil|closed|,nil|closed,0");
}

TEST_CASE("a pool refuses connections with unread data and drops those that end while idle") {
  auto chatty = [](const Peer& peer) { peer.send("ab"); peer.receive(1); };
  auto quiet = [](const Peer& peer) { peer.wait_for_end(); };
  CHECK(run_against({chatty, quiet, quiet}, R"(
    local s = connected()
    s:receive(1)
    local out = { show(s:setkeepalive()) }
    s:receive(1)
    out[2] = show(s:setkeepalive())
    local probe = ngx.socket.tcp()
    probe:connect("127.0.0.1", port, { pool = "other" })  -- lets the server go on only after this
    s = connected()
    s:send("x")
    s:close()
    probe:close()
    s = connected()
    out[3] = show(s:getreusedtimes())
    result = table.concat(out, ",")
  )") == "nil|unread data in buffer,1,0");
}

TEST_CASE("a socket that another task waits on is busy, and another's socket stays so") {
  auto quiet = [](const Peer& peer) { peer.receive(1); peer.send("late"); peer.wait_for_end(); };
  Server server({quiet});
  Scripts scripts;
  scripts.set_port(server.port);
  scripts.start("shared = connected() ready = 'yes' waited = shared:receive(4) result = waited");
  scripts.turn_until("ready");
  scripts.start("seen = show(shared:receive(1)) .. ',' .. show(shared:send('x')) .. ',' .. show(shared:close())");
  CHECK(scripts.global("seen") == "nil|socket busy,nil|socket busy,nil|socket busy");
  CHECK(scripts.global("waited").empty());
  scripts.start("seen = show(shared:connect('127.0.0.1', port))");
  CHECK(scripts.global("seen") == "nil|socket busy");
  scripts.start("local helper = 'other'");
  scripts.destroy();  // while a task waits
}

TEST_CASE("an idle socket of another task is busy too") {
  Server server({[](const Peer& peer) { peer.wait_for_end(); }});
  Scripts scripts;
  scripts.set_port(server.port);
  CHECK(scripts.run("shared = connected() result = 'connected'") == "connected");
  CHECK(scripts.run("result = show(shared:send('x'))") == "nil|socket busy");
  CHECK(scripts.run("shared = nil collectgarbage() collectgarbage() result = 'gone'") == "gone");
}

TEST_CASE("a socket waits inside a coroutine of the script's own, and says no inside a C function") {
  auto talk = [](const Peer& peer) { peer.receive(1); peer.send("x"); peer.wait_for_end(); };
  CHECK(run_against({talk}, R"(
    local s = connected()
    local co = coroutine.wrap(function() s:send("+") local got = s:receive(1) coroutine.yield(got) end)
    local got = co()
    local ok, err = pcall(string.gsub, "a", "a", function() return s:receive(1) end)
    result = got .. "," .. tostring(ok) .. "," .. tostring(err:find("cannot wait inside a C function", 1, true) ~= nil)
      .. "," .. show(s:receive(1))
  )") == "x,false,true,nil|closed|");
}

TEST_CASE("where nothing can wait, making a socket raises and names the phases that can") {
  Scripts scripts;
  lua_State* state = scripts.host().vm().state();
  REQUIRE(luaL_dostring(state, "return pcall(ngx.socket.tcp)") == 0);
  CHECK_FALSE(lua_toboolean(state, -2));
  CHECK(std::string(lua_tostring(state, -1)).find("allowed in: preread, rewrite, access") != std::string::npos);
  lua_pop(state, 2);
}

TEST_CASE("an endless line is refused at a megabyte") {
  auto talk = [](const Peer& peer) { peer.send(std::string(3u << 20, 'x')); };
  CHECK(run_against({talk}, "local s = connected() local d, e = s:receive() result = show(d, e) .. show(s:receive(1))") ==
        "nil|more than 1048576 bytes without an endnil|closed|");
}

TEST_CASE("datagrams go to one peer and come back") {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  std::thread peer([fd] {
    char data[100];
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    ssize_t count = ::recvfrom(fd, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
    for (int i = 0; i < 2; i++) ::sendto(fd, data, static_cast<size_t>(count), 0, reinterpret_cast<sockaddr*>(&from), from_size);
  });
  Scripts scripts;
  scripts.set_port(ntohs(address.sin_port));
  CHECK(scripts.run(R"(
    local s = ngx.socket.udp()
    local out = { show(s:send("x")), show(s:setpeername("127.0.0.1", port)) }
    s:settimeout(5000)
    out[3] = show(s:send({ "ping", 1 }))
    out[4] = show(s:receive())
    out[5] = show(s:receive(2))
    s:settimeout(50)
    out[6] = show(s:receive())
    out[7] = show(s:close())
    result = table.concat(out, ",")
  )") == "nil|closed,1,1,ping1,pi,nil|timeout,1");
  peer.join();
  ::close(fd);
}
