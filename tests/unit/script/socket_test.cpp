// SPDX-License-Identifier: Apache-2.0
// Sockets as scripts see them.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <luajit-2.1/lua.hpp>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <thread>

#include "script_fixture.h"

using namespace moongate;
using namespace moongate::script_fixture;

TEST_CASE("receives lines, sizes and the rest, whatever pieces they come in") {
  auto talk = [](const Peer& peer) {
    for (const char* piece : {"fir", "st\r", "\nsec\rond\n12", "345", "67the ", "rest"}) {
      peer.send(piece);
      peer.expect("+");
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
  CHECK(run_against({[](const Peer& peer) { peer.wait_for_end(); }},
                    "local s = connected() result = '[' .. s:receive(0) .. ']'") == "[]");
}

TEST_CASE("a timeout gives what came before it and leaves the connection open") {
  auto talk = [](const Peer& peer) {
    peer.send("half");
    peer.expect("+");
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
  auto talk = [](const Peer& peer) {
    peer.send("abcdef");
    peer.receive(1);
  };
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
      peer.expect("+");
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
  )") == "one,two--EN,three--END,a-,-b,nil|nil,nil|closed|tail");
}

TEST_CASE("a piece before the pattern comes as soon as it cannot be part of it") {
  auto talk = [](const Peer& peer) {
    peer.send("hell");
    peer.wait_for_end();
  };
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
  // The server reads only after the script is over: the listen queue takes the second connection, nobody
  // reads from it.
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
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('127.0.0.1', port))") ==
        "nil|connection refused");
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('unix:/nonexistent/socket'))") ==
        "nil|no such file or directory");
  CHECK(scripts.run("result = show(ngx.socket.tcp():connect('127.0.0.1', 65536))") ==
        "nil|bad port number: 65536");
  CHECK(scripts.run("result = show(ngx.socket.tcp():send('x'))") == "nil|closed");
  CHECK(scripts.run("result = show(ngx.socket.tcp():sslhandshake())") == "nil|closed");
  CHECK(scripts.run("ngx.socket.tcp():receive('*x')").find("bad argument #2") != std::string::npos);
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
    CHECK(scripts.run("local s = ngx.socket.connect('unix:" + folder + "/s') result = s:receive()") ==
          "hello");
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

TEST_CASE("a pool refuses a connection with unread data") {
  auto chatty = [](const Peer& peer) {
    peer.send("ab");
    peer.wait_for_end();
  };
  CHECK(run_against({chatty}, R"(
    local s = connected()
    s:receive(1)
    local first = show(s:setkeepalive())
    s:receive(1)
    result = first .. "," .. show(s:setkeepalive())
  )") == "nil|unread data in buffer,1");
}

TEST_CASE("a pool drops a connection that ends while it is idle") {
  std::promise<void> end_first, first_ended;
  Server controls({[&](const Peer& peer) {
    peer.expect("+");
    end_first.set_value();
    first_ended.get_future().wait();
    peer.send("ended\n");
    peer.wait_for_end();
  }});
  Server server({[&](const Peer& peer) {
                   end_first.get_future().wait();
                   ::shutdown(peer.fd, SHUT_RDWR);
                   first_ended.set_value();
                 },
                 [](const Peer& peer) { peer.wait_for_end(); }});
  Scripts scripts;
  scripts.set_port(server.port);
  CHECK(scripts.run("local control = connected(" + std::to_string(controls.port) + R"()
    local s = connected()
    local kept = s:setkeepalive()
    control:send("+")
    local told = control:receive()
    s = connected()
    result = show(kept, told, s:getreusedtimes())
  )") == "1|ended|0");
}

TEST_CASE("a full pool closes the connection that idled longest") {
  auto name = [](const char* text) {
    return [text](const Peer& peer) {
      peer.expect("?");
      peer.send(text);
      peer.wait_for_end();
    };
  };
  Server a({name("a")}), b({name("b")});
  Scripts scripts;
  CHECK(scripts.run("local ports = { " + std::to_string(a.port) + ", " + std::to_string(b.port) + R"( }
    local options = { pool = "both", pool_size = 1 }
    local one, two = ngx.socket.tcp(), ngx.socket.tcp()
    assert(one:connect("127.0.0.1", ports[1], options))
    assert(two:connect("127.0.0.1", ports[2], options))
    assert(one:setkeepalive() and two:setkeepalive())
    local s = ngx.socket.tcp()
    s:connect("127.0.0.1", ports[1], options)
    s:send("?")
    result = show(s:receive(1), s:getreusedtimes())
  )") == "b|1");
}

TEST_CASE("a connection leaves its pool when it idled too long") {
  auto quiet = [](const Peer& peer) { peer.wait_for_end(); };
  CHECK(run_against({quiet, quiet}, R"(
    local s = connected()
    s:setkeepalive(20)
    ngx.sleep(0.1)
    s = connected()
    result = show(s:getreusedtimes())
  )") == "0");
}

TEST_CASE("a socket that another task waits on is busy, and another's socket stays so") {
  auto quiet = [](const Peer& peer) {
    peer.receive(1);
    peer.send("late");
    peer.wait_for_end();
  };
  Server server({quiet});
  Scripts scripts;
  scripts.set_port(server.port);
  scripts.start("shared = connected() ready = 'yes' waited = shared:receive(4) result = waited");
  scripts.turn_until("ready");
  scripts.start(
      "seen = show(shared:receive(1)) .. ',' .. show(shared:send('x')) .. ',' .. show(shared:close())");
  CHECK(scripts.global("seen") == "nil|socket busy,nil|socket busy,nil|socket busy");
  CHECK(scripts.global("waited").empty());
  scripts.start("seen = show(shared:connect('127.0.0.1', port))");
  CHECK(scripts.global("seen") == "nil|socket busy");
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
  auto talk = [](const Peer& peer) {
    peer.receive(1);
    peer.send("x");
    peer.wait_for_end();
  };
  CHECK(run_against({talk}, R"(
    local s = connected()
    local co = coroutine.wrap(function() s:send("+") local got = s:receive(1) coroutine.yield(got) end)
    local got = co()
    local ok, err = pcall(string.gsub, "a", "a", function() return s:receive(1) end)
    result = got .. "," .. tostring(ok) .. "," .. tostring(err:find("cannot wait inside a callback", 1, true) ~= nil)
      .. "," .. show(s:receive(1))
  )") == "x,false,true,nil|closed|");
}

TEST_CASE("where nothing can wait, making a socket raises and names the phases that can") {
  Scripts scripts;
  lua_State* state = scripts.host().vm().state();
  REQUIRE(luaL_dostring(state, "return pcall(ngx.socket.tcp)") == 0);
  CHECK_FALSE(lua_toboolean(state, -2));
  CHECK(std::string(lua_tostring(state, -1)).find("allowed in: certificate, preread, rewrite") !=
        std::string::npos);
  lua_pop(state, 2);
}

TEST_CASE("an endless line is refused at a megabyte") {
  auto talk = [](const Peer& peer) { peer.send(std::string(3u << 20, 'x')); };
  CHECK(run_against(
            {talk},
            "local s = connected() local d, e = s:receive() result = show(d, e) .. show(s:receive(1))") ==
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
    for (int i = 0; i < 2; i++)
      ::sendto(fd, data, static_cast<size_t>(count), 0, reinterpret_cast<sockaddr*>(&from), from_size);
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
