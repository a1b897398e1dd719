// SPDX-License-Identifier: Apache-2.0
#include "snapshot/refusal.h"

#include <catch2/catch.hpp>

#include "snapshot/channel.h"

using namespace moongate::snapshot;

TEST_CASE("a refusal is read as it was sent") {
  const Refusal sent{"plugin a: \"boom\"\n", {{"a", "boom"}, {"b", "no init today"}}};
  const Refusal read = Refusal::from_text(sent.to_text());
  CHECK(read.reason == sent.reason);
  CHECK(read.plugins == sent.plugins);
  CHECK(Refusal::from_text(Refusal{"\xff", {{"a", "\xff"}}}.to_text()).plugins.count("a") == 1);
}

TEST_CASE("a refusal of very many plugins still fits into a message") {
  Refusal sent{std::string(100'000, '\x01'), {}};
  for (int i = 0; i < 1000; i++) sent.plugins["p" + std::to_string(i)] = std::string(1000, '\x01');
  const std::string text = sent.to_text();
  CHECK(text.size() <= kMessageTextMax);
  const Refusal read = Refusal::from_text(text);
  CHECK(read.reason.size() > 1000);
  CHECK(read.plugins.size() > 5);
}

TEST_CASE("a text that is no refusal is a reason") {
  CHECK(Refusal::from_text("no memory").reason == "no memory");
  CHECK(Refusal::from_text("[1]").reason == "[1]");
  CHECK(Refusal::from_text("").plugins.empty());
}
