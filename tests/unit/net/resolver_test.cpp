// SPDX-License-Identifier: Apache-2.0
#include "net/resolver.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <optional>
#include <string>

using namespace moongate;
using namespace moongate::net;

namespace {

/// A DNS server on loopback that says what the test says: every A question gets one address.
class NameServer {
 public:
  NameServer() {
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    text = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~NameServer() { ::close(fd_); }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  void turn() {
    char packet[512];
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    ssize_t got = 0;
    while ((got = ::recvfrom(fd_, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&from), &from_size)) >
           12) {
      questions++;
      if (is_silent) continue;
      std::string reply = answer(std::string(packet, static_cast<size_t>(got)));
      ::sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), from_size);
    }
  }

  std::string text;  // as in dns.servers
  std::string address = "127.0.0.9";
  uint32_t ttl = 60;
  bool is_silent = false;
  bool has_names = true;  // false: no name exists
  int questions = 0;

 private:
  std::string answer(const std::string& question) const {
    size_t end = 12;
    while (end < question.size() && question[end] != 0) end += 1 + static_cast<unsigned char>(question[end]);
    end += 5;
    bool is_for_v4 = question[end - 3] == 1;
    bool is_answered = has_names && is_for_v4;
    std::string reply = question.substr(0, end);
    reply[2] = static_cast<char>(0x81);
    reply[3] = static_cast<char>(has_names ? 0x80 : 0x83);
    for (int i = 6; i < 12; i++) reply[static_cast<size_t>(i)] = 0;
    if (!is_answered) return reply;
    reply[7] = 1;
    reply += std::string("\xc0\x0c\0\1\0\1", 6);
    for (int shift = 24; shift >= 0; shift -= 8) reply += static_cast<char>(ttl >> shift);
    reply += std::string("\0\4", 2);
    in_addr bytes{};
    ::inet_pton(AF_INET, address.c_str(), &bytes);
    reply.append(reinterpret_cast<const char*>(&bytes), 4);
    return reply;
  }
  int fd_ = -1;
};

struct Fixture {
  explicit Fixture(ResolverOptions options = {}) {
    if (options.servers.empty()) options.servers = {server.text};
    resolver = Resolver::make(*loop, options).take();
    on_pulse(this);
  }
  ~Fixture() {
    base::Clock::set_offset({});
    base::Clock::refresh();
  }
  static void on_pulse(void* self) {
    auto* fixture = static_cast<Fixture*>(self);
    fixture->pulse.start(fixture->loop->timers(), std::chrono::milliseconds(1));
  }
  bool turn_until(const std::function<bool()>& is_done) {
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!is_done()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      loop->run_once();
      server.turn();
    }
    return true;
  }
  /// The first address of the answer, or what went wrong.
  std::string resolve(const std::string& host) {
    std::optional<std::string> text;
    resolver->resolve(host, [&text](const auto& result) {
      text = result ? (**result)[0].host_text() : "failed: " + result.error().detail;
    });
    REQUIRE(turn_until([&] { return text.has_value(); }));
    return *text;
  }
  void advance(base::Duration by) {
    base::Clock::set_offset(base::Clock::offset() + by);
    base::Clock::refresh();
  }

  std::unique_ptr<EventLoop> loop = EventLoop::make().take();
  NameServer server;
  std::unique_ptr<Resolver> resolver;
  Timer pulse{on_pulse, this};
};

using std::chrono::seconds;

}  // namespace

TEST_CASE("an address literal is its own answer and asks nobody") {
  Fixture f;
  CHECK(f.resolve("10.1.2.3") == "10.1.2.3");
  CHECK(f.resolve("::1") == "::1");
  CHECK(f.server.questions == 0);
}

TEST_CASE("a name is asked for once while its answer is fresh") {
  Fixture f;
  CHECK(f.resolver->find("one.test") == nullptr);
  CHECK(f.resolve("one.test") == "127.0.0.9");
  int asked = f.server.questions;
  CHECK(asked > 0);
  CHECK(f.resolve("one.test") == "127.0.0.9");
  CHECK(f.resolver->find("one.test") != nullptr);
  CHECK(f.server.questions == asked);
}

TEST_CASE("an answer that has run out is used while the next is fetched") {
  Fixture f;
  f.server.ttl = 5;
  f.resolve("one.test");
  f.server.address = "127.0.0.10";
  f.advance(seconds(6));
  auto stale = f.resolver->find("one.test");
  REQUIRE(stale);
  CHECK((*stale)[0].host_text() == "127.0.0.9");
  REQUIRE(f.turn_until([&] { return (*f.resolver->find("one.test"))[0].host_text() == "127.0.0.10"; }));
}

TEST_CASE("an answer that cannot be renewed is dropped after a minute") {
  Fixture f;
  f.server.ttl = 5;
  f.resolve("one.test");
  f.advance(seconds(64));
  CHECK(f.resolver->find("one.test") != nullptr);
  f.advance(seconds(2));
  CHECK(f.resolver->find("one.test") == nullptr);
}

TEST_CASE("a name that does not exist fails, and is not asked for again at once") {
  Fixture f;
  f.server.has_names = false;
  CHECK(f.resolve("none.test").starts_with("failed: cannot resolve \"none.test\""));
  int asked = f.server.questions;
  CHECK(f.resolve("none.test").starts_with("failed: "));
  CHECK(f.server.questions == asked);
  f.advance(seconds(2));
  f.server.has_names = true;
  CHECK(f.resolve("none.test") == "127.0.0.9");
}

TEST_CASE("all who wait for a name get its one answer, in turn") {
  Fixture f;
  std::string order;
  for (char name : {'a', 'b', 'c'})
    f.resolver->resolve("one.test", [&order, name](const auto& result) {
      if (result) order += name;
    });
  REQUIRE(f.turn_until([&] { return order.size() == 3; }));
  CHECK(order == "abc");
}

TEST_CASE("names from the configuration lead to addresses and to other names, not in circles") {
  ResolverOptions options;
  options.hosts = {{"here.test", "127.0.0.5"}, {"there.test", "one.test"}, {"round.test", "round.test"}};
  Fixture f(options);
  CHECK(f.resolve("here.test") == "127.0.0.5");
  CHECK(f.resolve("there.test") == "127.0.0.9");
  CHECK(f.resolve("round.test") == "127.0.0.9");
}

TEST_CASE("a server that says nothing is given up in time") {
  ResolverOptions options;
  options.timeout = std::chrono::milliseconds(300);
  Fixture f(options);
  f.server.is_silent = true;
  CHECK(f.resolve("one.test").starts_with("failed: "));
}

TEST_CASE("questions under way when the servers change are put to the new ones") {
  Fixture f;
  NameServer former;
  ResolverOptions options;
  options.servers = {former.text};
  f.resolver->set_options(options);
  std::string first, second;
  f.resolver->resolve("one.test", [&](const auto& result) {
    first = result ? (**result)[0].host_text() : result.error().detail;
    // Whoever has its answer may ask for the next name at once.
    f.resolver->resolve(
        "two.test", [&](const auto& next) { second = next ? (**next)[0].host_text() : next.error().detail; });
  });
  f.loop->run_once();
  options.servers = {f.server.text};
  f.resolver->set_options(options);
  REQUIRE(f.turn_until([&] { return !second.empty(); }));
  CHECK(first == "127.0.0.9");
  CHECK(second == "127.0.0.9");
}

TEST_CASE("servers that cannot be used are refused by name") {
  auto loop = EventLoop::make().take();
  ResolverOptions options;
  options.servers = {"not an address"};
  auto made = Resolver::make(*loop, options);
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().detail.find("dns.servers \"not an address\"") != std::string::npos);
}

TEST_CASE("a resolver that goes first drops those who wait") {
  Fixture f;
  f.server.is_silent = true;
  bool is_called = false;
  f.resolver->resolve("one.test", [&](const auto&) { is_called = true; });
  f.resolver.reset();
  CHECK_FALSE(is_called);
}
