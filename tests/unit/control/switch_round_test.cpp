// SPDX-License-Identifier: Apache-2.0
#include "control/switch_round.h"

#include <catch2/catch.hpp>

using namespace moongate::control;
using State = SwitchRound::State;

TEST_CASE("nobody switches before all are ready, and it is done when all have switched") {
  SwitchRound round(5, {0, 1, 2});
  round.on_ready(0);
  round.on_ready(2);
  REQUIRE(round.state() == State::kPreparing);
  round.on_switched(0);  // out of turn
  round.on_ready(1);
  REQUIRE(round.state() == State::kReady);
  round.begin_switch();
  REQUIRE(round.state() == State::kSwitching);
  round.on_switched(0);
  round.on_switched(1);
  REQUIRE(round.state() == State::kSwitching);
  round.on_switched(2);
  REQUIRE(round.state() == State::kDone);
  REQUIRE(round.reason().empty());
}

TEST_CASE("one refusal refuses for all") {
  SwitchRound round(5, {0, 1});
  round.on_ready(0);
  round.on_refused(1, "key-auth.lua:3: boom");
  REQUIRE(round.state() == State::kRefused);
  REQUIRE(round.reason() == "worker 1: key-auth.lua:3: boom");
  round.on_ready(1);
  REQUIRE(round.state() == State::kRefused);
}

TEST_CASE("a worker that dies leaves the count") {
  SwitchRound round(5, {0, 1});
  round.on_ready(0);
  round.on_gone(1);
  REQUIRE(round.state() == State::kReady);
  round.begin_switch();
  REQUIRE(round.state() == State::kSwitching);
  round.on_gone(0);
  REQUIRE(round.state() == State::kDone);
}

TEST_CASE("a snapshot that kills every worker is refused") {
  SwitchRound round(5, {0, 1});
  round.on_gone(0);
  round.on_gone(1);
  REQUIRE(round.state() == State::kRefused);
}

TEST_CASE("a worker that was ready and died does not make the round hang") {
  SwitchRound round(5, {0, 1});
  round.on_ready(0);
  round.on_gone(0);
  REQUIRE(round.state() == State::kPreparing);
  round.on_ready(1);
  round.begin_switch();
  REQUIRE(round.state() == State::kSwitching);
  round.on_switched(1);
  REQUIRE(round.state() == State::kDone);
}

TEST_CASE("no answer in time refuses while preparing, and is only noted after the switch") {
  SwitchRound slow(5, {0, 1});
  slow.on_ready(0);
  slow.on_deadline(10);
  REQUIRE(slow.state() == State::kRefused);
  REQUIRE(slow.reason() == "worker 1 did not answer within 10 s");

  SwitchRound stuck(6, {0, 1});
  stuck.on_ready(0);
  stuck.on_ready(1);
  stuck.begin_switch();
  stuck.on_switched(0);
  stuck.on_deadline(10);
  REQUIRE(stuck.state() == State::kDone);
  REQUIRE(stuck.reason() == "worker 1 did not answer within 10 s");
}

TEST_CASE("answers of those who take no part count for nothing") {
  SwitchRound round(5, {0});
  round.on_ready(7);
  round.on_refused(7, "x");
  round.on_gone(7);
  REQUIRE(round.state() == State::kPreparing);
}

TEST_CASE("without workers there is nothing to wait for") {
  SwitchRound round(5, {});
  REQUIRE(round.state() == State::kReady);
  round.begin_switch();
  REQUIRE(round.state() == State::kDone);
}

TEST_CASE("while it is made to last the deadline says nothing, and whoever dies is not waited for") {
  SwitchRound round(5, {0, 1});
  round.on_ready(0);
  round.on_ready(1);
  round.on_deadline(10);
  round.on_gone(0);
  REQUIRE(round.state() == State::kReady);
  round.on_gone(1);
  REQUIRE(round.state() == State::kReady);
  round.begin_switch();
  REQUIRE(round.state() == State::kDone);
}

TEST_CASE("what cannot be made to last is refused, and nobody switches") {
  SwitchRound round(5, {0});
  round.on_ready(0);
  round.fail("the disk is full");
  REQUIRE(round.state() == State::kRefused);
  REQUIRE(round.reason() == "the disk is full");
  REQUIRE_FALSE(round.is_invalid());
  round.begin_switch();
  REQUIRE(round.state() == State::kRefused);
}
