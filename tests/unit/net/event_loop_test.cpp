// SPDX-License-Identifier: Apache-2.0
#include "net/event_loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>

using namespace moongate;
using namespace moongate::net;

namespace {

/// A connected pair, closed at the end.
struct Pair {
  Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0); }
  ~Pair() {
    for (int fd : ends)
      if (fd >= 0) ::close(fd);
  }
  void close(int which) {
    ::close(ends[which]);
    ends[which] = -1;
  }
  void say(const std::string& bytes) { REQUIRE(::send(ends[1], bytes.data(), bytes.size(), 0) > 0); }
  int ends[2];
};

struct Watching {
  static void on_ready(void* self, Readiness ready) {
    auto* watching = static_cast<Watching*>(self);
    watching->calls++;
    watching->last = ready;
    if (watching->then) watching->then();
  }
  int calls = 0;
  Readiness last{};
  std::function<void()> then;
  FdWatch watch;
};

struct Later {
  Later() = default;
  explicit Later(std::function<void()> action) : then(std::move(action)) {}
  static void on_due(void* self) {
    auto* later = static_cast<Later*>(self);
    later->calls++;
    if (later->then) later->then();
  }
  int calls = 0;
  std::function<void()> then;
  Deferred work{on_due, this};
};

std::unique_ptr<EventLoop> make_loop() { return EventLoop::make().take(); }

// One turn that waits for nothing.
void turn(EventLoop& loop) {
  Deferred hurry([](void*) {}, nullptr);
  hurry.schedule(loop);
  loop.run_once();
}

}  // namespace

TEST_CASE("a level is told again and again, an edge once") {
  auto loop = make_loop();
  Pair level_pair, edge_pair;
  Watching level, edge;
  level.watch.start(*loop, level_pair.ends[0], FdWatch::Interest::kRead, Watching::on_ready, &level);
  edge.watch.start(*loop, edge_pair.ends[0], FdWatch::Interest::kEdge, Watching::on_ready, &edge);
  turn(*loop);
  edge.calls = 0;  // the first edge: it can be written to
  level_pair.say("x");
  edge_pair.say("x");
  for (int i = 0; i < 3; i++) turn(*loop);
  CHECK(level.calls == 3);
  CHECK(edge.calls == 1);
  CHECK(edge.last.is_readable);
  CHECK_FALSE(edge.last.is_closing);
}

TEST_CASE("an end is told together with the bytes before it") {
  auto loop = make_loop();
  Pair pair;
  Watching edge;
  edge.watch.start(*loop, pair.ends[0], FdWatch::Interest::kEdge, Watching::on_ready, &edge);
  turn(*loop);
  pair.say("last words");
  pair.close(1);
  turn(*loop);
  CHECK(edge.last.is_closing);
  CHECK(edge.last.is_readable);
}

TEST_CASE("a watch may stop or destroy itself in its callback, and others of the same turn") {
  auto loop = make_loop();
  Pair first_pair, second_pair;
  auto first = std::make_unique<Watching>();
  auto second = std::make_unique<Watching>();
  int calls = 0;
  // Whoever comes first takes the other with it.
  first->then = [&] { calls++, second.reset(); };
  second->then = [&] { calls++, first.reset(); };
  first->watch.start(*loop, first_pair.ends[0], FdWatch::Interest::kRead, Watching::on_ready, first.get());
  second->watch.start(*loop, second_pair.ends[0], FdWatch::Interest::kRead, Watching::on_ready, second.get());
  first_pair.say("x");
  second_pair.say("x");
  turn(*loop);
  CHECK(calls == 1);
  CHECK((first == nullptr) != (second == nullptr));
}

TEST_CASE("put-off work runs at the end of its turn; put off again by itself, in the next") {
  auto loop = make_loop();
  Later again;
  again.then = [&] { again.work.schedule(*loop); };
  again.work.schedule(*loop);
  loop->run_once();
  CHECK(again.calls == 1);
  loop->run_once();
  CHECK(again.calls == 2);
  again.work.cancel();
  turn(*loop);
  CHECK(again.calls == 2);
}

TEST_CASE("put-off work may cancel and destroy other work of the same turn") {
  auto loop = make_loop();
  auto first = std::make_unique<Later>();
  auto second = std::make_unique<Later>();
  int calls = 0;
  first->then = [&] { calls++, second.reset(); };
  second->then = [&] { calls++, first.reset(); };
  first->work.schedule(*loop);
  second->work.schedule(*loop);
  loop->run_once();
  CHECK(calls == 1);
}

TEST_CASE("work that is put off twice runs once") {
  auto loop = make_loop();
  Later later;
  later.work.schedule(*loop);
  later.work.schedule(*loop);
  loop->run_once();
  turn(*loop);
  CHECK(later.calls == 1);
  CHECK_FALSE(later.work.is_scheduled());
}

TEST_CASE("work may outlive its loop") {
  Later later;
  {
    auto loop = make_loop();
    later.work.schedule(*loop);
  }
  CHECK_FALSE(later.work.is_scheduled());
}

TEST_CASE("a signal is told outside of signal context") {
  auto loop = make_loop();
  struct State {
    EventLoop* loop;
    int number = 0;
  } state{loop.get()};
  SignalWatch watch;
  watch.start(
      *loop, SIGUSR2, [](void* self, int number) { static_cast<State*>(self)->number = number; }, &state);
  ::raise(SIGUSR2);
  CHECK(state.number == 0);
  for (int i = 0; i < 100 && state.number == 0; i++) turn(*loop);
  CHECK(state.number == SIGUSR2);
}

TEST_CASE("a turn that waits ends when a timer is due") {
  auto loop = make_loop();
  bool is_due = false;
  Timer timer([](void* flag) { *static_cast<bool*>(flag) = true; }, &is_due);
  base::Clock::refresh();
  timer.start(loop->timers(), std::chrono::milliseconds(5));
  while (!is_due) loop->run_once();
  CHECK(base::Clock::steady() >= timer.deadline());
}

TEST_CASE("stop ends run after the turn that said so") {
  auto loop = make_loop();
  Later later([&] { loop->stop(); });
  later.work.schedule(*loop);
  loop->run();
  CHECK(later.calls == 1);
  CHECK(loop->is_stopped());
}
