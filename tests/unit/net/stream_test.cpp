// SPDX-License-Identifier: Apache-2.0
#include "net/stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>

#include "net/listener.h"

using namespace moongate;
using namespace moongate::net;

namespace {

void turn(EventLoop& loop) {
  Deferred hurry([](void*) {}, nullptr);
  hurry.schedule(loop);
  loop.run_once();
}

/// A stream, and the plain socket at its other end.
struct Fixture {
  Fixture() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    other = ends[1];
    stream->adopt(*loop, ends[0], on_ready, this);
    turn(*loop);
    calls = 0;
  }
  ~Fixture() { close_other(); }
  static void on_ready(void* self) {
    auto* fixture = static_cast<Fixture*>(self);
    fixture->calls++;
    if (fixture->then) fixture->then();
  }
  void say(const std::string& bytes) const {
    REQUIRE(::send(other, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void close_other() {
    if (other >= 0) ::close(other);
    other = -1;
  }
  std::unique_ptr<EventLoop> loop = EventLoop::make().take();
  std::unique_ptr<Stream> stream = std::make_unique<Stream>();
  int other = -1;
  int calls = 0;
  std::function<void()> then;
};

}  // namespace

TEST_CASE("a short read says that the next would find nothing, until an edge comes") {
  Fixture f;
  char buffer[100];
  f.say("hello");
  turn(*f.loop);
  CHECK(f.calls == 1);
  auto result = f.stream->read(buffer, sizeof buffer);
  CHECK(result.status == IoStatus::kOk);
  CHECK(result.size == 5);
  CHECK_FALSE(f.stream->may_read());
  f.say("x");
  turn(*f.loop);
  CHECK(f.stream->may_read());
}

TEST_CASE("a read that filled its buffer may be followed by another") {
  Fixture f;
  char buffer[5];
  f.say("hello");
  turn(*f.loop);
  CHECK(f.stream->read(buffer, sizeof buffer).size == 5);
  CHECK(f.stream->may_read());
  CHECK(f.stream->read(buffer, sizeof buffer).status == IoStatus::kBlocked);
  CHECK_FALSE(f.stream->may_read());
}

TEST_CASE("an end that came with the bytes is still read although no edge follows") {
  Fixture f;
  char buffer[100];
  f.say("last");
  f.close_other();
  turn(*f.loop);
  CHECK(f.stream->read(buffer, sizeof buffer).size == 4);
  REQUIRE(f.stream->may_read());
  CHECK(f.stream->read(buffer, sizeof buffer).status == IoStatus::kEof);
}

TEST_CASE("a full socket blocks the writer until the other side reads") {
  Fixture f;
  std::string bytes(10'000'000, 'b');
  auto result = f.stream->write(bytes.data(), bytes.size());
  CHECK(result.status == IoStatus::kOk);
  CHECK(result.size < bytes.size());
  while (f.stream->may_write()) static_cast<void>(f.stream->write(bytes.data(), bytes.size()));
  std::string sink(10'000'000, 0);
  while (::recv(f.other, sink.data(), sink.size(), MSG_DONTWAIT) > 0) {
  }
  turn(*f.loop);
  CHECK(f.stream->may_write());
}

TEST_CASE("writing to who is gone is an error and no signal") {
  Fixture f;
  f.close_other();
  CHECK(f.stream->write("x", 1).status == IoStatus::kError);
}

TEST_CASE("a stream may be destroyed by whom it calls") {
  Fixture f;
  f.then = [&] { f.stream.reset(); };
  f.say("x");
  turn(*f.loop);
  turn(*f.loop);
  CHECK(f.calls == 1);
}

TEST_CASE("a stream that is to call again does so once, and not after it was closed") {
  Fixture f;
  f.stream->call_again();
  f.stream->call_again();
  f.loop->run_once();
  turn(*f.loop);
  CHECK(f.calls == 1);
  f.stream->call_again();
  f.stream->close();
  turn(*f.loop);
  CHECK(f.calls == 1);
}

TEST_CASE("edges go to the new owner after redirect") {
  Fixture f;
  int mine = 0;
  f.stream->redirect([](void* count) { ++*static_cast<int*>(count); }, &mine);
  f.say("x");
  turn(*f.loop);
  CHECK(mine == 1);
  CHECK(f.calls == 0);
}

TEST_CASE("connecting tells its outcome with an edge") {
  auto loop = EventLoop::make().take();
  int listening = open_listening_socket(*make_ip_address("127.0.0.1", 0), 8).take();
  SocketAddress address;
  address.size = sizeof address.storage;
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  for (bool is_served : {true, false}) {
    int calls = 0;
    Stream stream;
    if (!is_served) ::close(listening);
    auto started = stream.start_connect(
        *loop, address, [](void* count) { ++*static_cast<int*>(count); }, &calls);
    if (!started) continue;  // loopback may refuse at once
    while (calls == 0) loop->run_once();
    CHECK((stream.finish_connect() == 0) == is_served);
    CHECK(stream.may_write() == is_served);
  }
}

TEST_CASE("a connection that cannot even be begun is an error that names the place") {
  auto loop = EventLoop::make().take();
  Stream stream;
  auto started = stream.start_connect(
      *loop, *make_unix_address("/nonexistent/socket"), [](void*) {}, nullptr);
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().detail.find("unix:/nonexistent/socket") != std::string::npos);
  CHECK(started.error().is_retryable);
  CHECK_FALSE(stream.is_open());
}

TEST_CASE("abort is a reset to the other side, close an end") {
  for (bool is_abort : {true, false}) {
    auto loop = EventLoop::make().take();
    int listening = open_listening_socket(*make_ip_address("127.0.0.1", 0), 8).take();
    SocketAddress address;
    address.size = sizeof address.storage;
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
    Stream stream;
    REQUIRE(stream
                .start_connect(
                    *loop, address, [](void*) {}, nullptr)
                .ok());
    int accepted = -1;
    while (accepted < 0) accepted = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
    REQUIRE(stream.finish_connect() == 0);
    if (is_abort)
      stream.abort();
    else
      stream.close();
    char byte = 0;
    ssize_t got = ::recv(accepted, &byte, 1, 0);
    CHECK(got == (is_abort ? -1 : 0));
    ::close(accepted);
    ::close(listening);
  }
}
