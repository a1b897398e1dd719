// SPDX-License-Identifier: Apache-2.0
#include "net/timer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <vector>

using namespace moongate;
using namespace moongate::net;
using std::chrono::milliseconds;

namespace {

/// A wheel whose time is the test's.
struct Fixture {
  Fixture() { base::Clock::refresh(); }
  ~Fixture() {
    base::Clock::set_offset({});
    base::Clock::refresh();
  }
  void advance(base::Duration by) {
    base::Clock::set_offset(base::Clock::offset() + by);
    base::Clock::refresh();
    wheel.advance();
  }
  TimerWheel wheel;
};

struct Alarm {
  static void on_due(void* self) {
    auto* alarm = static_cast<Alarm*>(self);
    alarm->fired++;
    alarm->fired_at = base::Clock::steady();
    if (alarm->then) alarm->then();
  }
  int fired = 0;
  base::SteadyTime fired_at{};
  std::function<void()> then;
  Timer timer{on_due, this};
};

}  // namespace

TEST_CASE("a timer fires once, after its deadline and never before") {
  Fixture f;
  Alarm alarm;
  alarm.timer.start(f.wheel, milliseconds(10));
  f.advance(milliseconds(9));
  CHECK(alarm.fired == 0);
  f.advance(milliseconds(2));
  CHECK(alarm.fired == 1);
  CHECK_FALSE(alarm.timer.is_running());
  f.advance(std::chrono::hours(1));
  CHECK(alarm.fired == 1);
}

TEST_CASE("a stopped timer does not fire, nor one that was destroyed") {
  Fixture f;
  Alarm alarm;
  alarm.timer.start(f.wheel, milliseconds(1));
  auto gone = std::make_unique<Alarm>();
  gone->timer.start(f.wheel, milliseconds(1));
  alarm.timer.stop();
  gone.reset();
  f.advance(milliseconds(10));
  CHECK(alarm.fired == 0);
}

TEST_CASE("starting again moves the deadline, both ways") {
  Fixture f;
  Alarm later, sooner;
  later.timer.start(f.wheel, milliseconds(10));
  sooner.timer.start(f.wheel, milliseconds(1000));
  later.timer.start(f.wheel, milliseconds(500));
  sooner.timer.start(f.wheel, milliseconds(5));
  f.advance(milliseconds(20));
  CHECK(later.fired == 0);
  CHECK(sooner.fired == 1);
  f.advance(milliseconds(490));
  CHECK(later.fired == 1);
}

TEST_CASE("deadlines beyond the wheel's turn are kept") {
  Fixture f;
  Alarm alarm;
  alarm.timer.start(f.wheel, std::chrono::hours(5));
  for (int minutes = 0; minutes < 299; minutes++) f.advance(std::chrono::minutes(1));
  CHECK(alarm.fired == 0);
  f.advance(milliseconds(60'001));
  CHECK(alarm.fired == 1);
}

TEST_CASE("a long sleep makes everything that is due fire, and nothing else") {
  Fixture f;
  Alarm due[3], far;
  for (int i = 0; i < 3; i++) due[i].timer.start(f.wheel, milliseconds(1 + i * 3000));
  far.timer.start(f.wheel, std::chrono::hours(2));
  f.advance(std::chrono::hours(1));
  for (const Alarm& alarm : due) CHECK(alarm.fired == 1);
  CHECK(far.fired == 0);
}

TEST_CASE("callbacks may stop, start and destroy timers of the same moment") {
  Fixture f;
  Alarm first, second, third;
  auto fourth = std::make_unique<Alarm>();
  // The order within a moment is not promised: whoever comes first does it to the others.
  auto meddle = [&] {
    second.timer.stop();
    fourth.reset();
    third.timer.start(f.wheel, milliseconds(50));
  };
  first.then = meddle;
  for (Alarm* alarm : {&first, &second, &third, fourth.get()}) alarm->timer.start(f.wheel, milliseconds(5));
  second.then = third.then = [&] {
    first.timer.stop();
    meddle();
  };
  fourth->then = [&] { first.timer.stop(); };
  f.advance(milliseconds(10));
  CHECK(first.fired + second.fired + third.fired <= 2);
  f.advance(milliseconds(60));
  CHECK(third.fired >= 1);
}

TEST_CASE("a timer that starts itself again at once fires once per turn") {
  Fixture f;
  Alarm alarm;
  alarm.then = [&] { alarm.timer.start(f.wheel, milliseconds(0)); };
  alarm.timer.start(f.wheel, milliseconds(0));
  f.advance(milliseconds(2));
  int first = alarm.fired;
  CHECK(first >= 1);
  CHECK(first <= 3);
  f.advance(milliseconds(2));
  CHECK(alarm.fired > first);
}

TEST_CASE("the wheel can be slept on: nothing is due before its wake-up") {
  Fixture f;
  base::SteadyTime at;
  CHECK_FALSE(f.wheel.next_wakeup(&at));
  Alarm alarm;
  alarm.timer.start(f.wheel, milliseconds(700));
  REQUIRE(f.wheel.next_wakeup(&at));
  CHECK(at >= alarm.timer.deadline());
  CHECK(at <= alarm.timer.deadline() + milliseconds(1));
}

TEST_CASE("ten thousand timers that are far away wake nobody, and fire in time") {
  Fixture f;
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 10'000; i++) {
    alarms.push_back(std::make_unique<Alarm>());
    alarms.back()->timer.start(f.wheel, std::chrono::minutes(20));
    if (i % 10 == 0) f.advance(milliseconds(1));
  }
  const auto begin = base::Clock::steady();
  const auto sleep = [&] {
    base::SteadyTime at;
    REQUIRE(f.wheel.next_wakeup(&at));
    f.advance(std::max<base::Duration>(at - base::Clock::steady(), milliseconds(1)));
  };
  int wakeups = 0;
  while (base::Clock::steady() - begin < std::chrono::minutes(19) - milliseconds(8192)) {
    sleep();
    wakeups++;
  }
  CHECK(wakeups <= 20);
  for (size_t over = 0; over < alarms.size();) {
    sleep();
    const auto now = base::Clock::steady();
    for (; over < alarms.size() && alarms[over]->fired > 0; over++) {
      REQUIRE(alarms[over]->fired == 1);
      REQUIRE(alarms[over]->fired_at >= alarms[over]->timer.deadline());
    }
    for (size_t i = over; i < alarms.size(); i++)
      REQUIRE((alarms[i]->fired == 1 || alarms[i]->timer.deadline() + milliseconds(1) > now));
  }
}

TEST_CASE("far timers are stopped, brought near and pushed back like near ones") {
  Fixture f;
  Alarm stopped, nearer, farther;
  for (Alarm* alarm : {&stopped, &nearer, &farther}) alarm->timer.start(f.wheel, std::chrono::seconds(30));
  stopped.timer.stop();
  nearer.timer.start(f.wheel, milliseconds(6000));
  farther.timer.start(f.wheel, std::chrono::seconds(90));
  f.advance(milliseconds(4000));
  CHECK(nearer.fired == 0);
  f.advance(milliseconds(2001));
  CHECK(nearer.fired == 1);
  for (int i = 0; i < 79; i++) f.advance(std::chrono::seconds(1));
  CHECK(farther.fired == 0);
  f.advance(milliseconds(5001));
  CHECK(farther.fired == 1);
  CHECK(stopped.fired == 0);
}

TEST_CASE("a thousand timers at random fire each at its time, whatever is done to the others") {
  Fixture f;
  std::mt19937 random(7);
  auto upto = [&random](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 1000; i++) alarms.push_back(std::make_unique<Alarm>());
  for (int turn = 0; turn < 2000; turn++) {
    Alarm& one = *alarms[static_cast<size_t>(upto(1000))];
    if (upto(4) == 0)
      one.timer.stop();
    else
      one.timer.start(f.wheel, milliseconds(upto(20'000)));
    f.advance(milliseconds(upto(turn % 400 == 0 ? 9'000 : 30)));
    int early = 0, late = 0;
    for (const auto& alarm : alarms) {
      late += alarm->timer.is_running() && alarm->timer.deadline() + milliseconds(1) <= base::Clock::steady();
      early += alarm->fired > 0 && alarm->fired_at < alarm->timer.deadline();
      alarm->fired = 0;
    }
    REQUIRE(early == 0);
    REQUIRE(late == 0);
  }
}
