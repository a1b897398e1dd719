// SPDX-License-Identifier: Apache-2.0
#include "net/listener.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace moongate;
using namespace moongate::net;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-listener-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

SocketAddress bound_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) == 0);
  return address;
}

int connect_to(const SocketAddress& address) {
  int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd, address.raw(), address.size) == 0);
  return fd;
}

struct Fixture {
  Fixture() {
    listening = open_listening_socket(*make_ip_address("127.0.0.1", 0), 512).take();
    listener.start(*loop, listening, on_accept, this);
  }
  ~Fixture() {
    base::Clock::set_offset({});
    base::Clock::refresh();
    listener.stop();
    for (int fd : accepted) ::close(fd);
    ::close(listening);
  }
  static void on_accept(void* self, int fd, const SocketAddress& peer) {
    auto* fixture = static_cast<Fixture*>(self);
    fixture->accepted.push_back(fd);
    fixture->last_peer = peer;
    if (fixture->stops_at == fixture->accepted.size()) fixture->listener.stop();
  }
  void turn() {
    Deferred hurry([](void*) {}, nullptr);
    hurry.schedule(*loop);
    loop->run_once();
  }
  std::unique_ptr<EventLoop> loop = EventLoop::make().take();
  Listener listener;
  int listening = -1;
  std::vector<int> accepted;
  SocketAddress last_peer;
  size_t stops_at = SIZE_MAX;
};

}  // namespace

TEST_CASE("a connection is handed over with the address it comes from") {
  Fixture f;
  int client = connect_to(bound_address(f.listening));
  f.turn();
  REQUIRE(f.accepted.size() == 1);
  CHECK(f.last_peer == bound_address(client));
  ::close(client);
}

TEST_CASE("a flood is taken in portions, and none of it is lost") {
  Fixture f;
  std::vector<int> clients;
  for (int i = 0; i < 200; i++) clients.push_back(connect_to(bound_address(f.listening)));
  f.turn();
  CHECK(f.accepted.size() < 200);
  for (int i = 0; i < 10; i++) f.turn();
  CHECK(f.accepted.size() == 200);
  for (int fd : clients) ::close(fd);
}

TEST_CASE("a listener that is stopped in its callback accepts no more") {
  Fixture f;
  f.stops_at = 1;
  int first = connect_to(bound_address(f.listening));
  int second = connect_to(bound_address(f.listening));
  for (int i = 0; i < 3; i++) f.turn();
  CHECK(f.accepted.size() == 1);
  ::close(first);
  ::close(second);
}

TEST_CASE("out of descriptors, it pauses, and goes on when there are some again") {
  Fixture f;
  int client = connect_to(bound_address(f.listening));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  int next = ::dup(0);
  ::close(next);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  f.turn();
  bool was_paused = f.accepted.empty() && !f.listener.is_running();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(was_paused);
  base::Clock::set_offset(std::chrono::milliseconds(150));
  for (int i = 0; i < 3; i++) f.turn();
  CHECK(f.accepted.size() == 1);
  ::close(client);
}

TEST_CASE("an address in use is an error that names it") {
  Folder folder;
  auto address = make_unix_address(folder.path + "/socket");
  int first = open_listening_socket(*address, 8).take();
  auto second = open_listening_socket(*address, 8);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().detail.find(folder.path + "/socket") != std::string::npos);
  ::close(first);
}

TEST_CASE("the file of a socket that nobody serves is replaced, any other file is left alone") {
  Folder folder;
  auto address = make_unix_address(folder.path + "/socket");
  ::close(open_listening_socket(*address, 8).take());
  auto again = open_listening_socket(*address, 8);
  REQUIRE(again.ok());
  ::close(*again);
  const std::string file = folder.path + "/file";
  std::ofstream(file) << "precious";
  CHECK_FALSE(open_listening_socket(*make_unix_address(file), 8).ok());
  CHECK(std::filesystem::file_size(file) == 8);
}
