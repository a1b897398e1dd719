// SPDX-License-Identifier: Apache-2.0
#include "control/releases.h"

#include <catch2/catch.hpp>
#include <set>

using namespace moongate::control;
using moongate::config::Kind;

namespace {

ResourceKey consumer(int number) { return {Kind::kConsumer, "c" + std::to_string(number)}; }

/// Makes a snapshot with as many as may come out of `count`; who came out.
std::set<int> make_snapshot(Releases& releases, int count, const std::string& plugin = "picky") {
  std::set<int> out;
  releases.begin();
  for (int i = 0; i < count; i++) {
    if (releases.find_held(consumer(i)) != nullptr || !releases.takes_more()) continue;
    releases.add(consumer(i), R"({"plugins":{")" + plugin + R"(":{}}})");
    out.insert(i);
  }
  return out;
}

}  // namespace

TEST_CASE("whoever uses a plugin that a worker names stays in quarantine, and nobody else") {
  Releases releases;
  make_snapshot(releases, 3);
  releases.add(consumer(7), R"({"plugins":{"fine":{}}})");
  REQUIRE(releases.blame({{"picky", "worker 0: boom"}}));
  for (int i = 0; i < 3; i++) CHECK(*releases.find_held(consumer(i)) == "refused by worker 0: boom");
  CHECK(releases.find_held(consumer(7)) == nullptr);
  CHECK(releases.takes_more());
}

TEST_CASE("a plugin that nobody of them uses is not theirs to answer for") {
  Releases releases;
  make_snapshot(releases, 3);
  CHECK_FALSE(releases.blame({{"other", "worker 0: boom"}}));
  CHECK(releases.find_held(consumer(0)) == nullptr);
}

TEST_CASE("a change that is refused without them is itself to blame") {
  Releases releases;
  make_snapshot(releases, 2);
  REQUIRE(releases.doubt("worker 0: died"));
  REQUIRE(make_snapshot(releases, 2).empty());
  REQUIRE_FALSE(releases.doubt("worker 0: died"));
  make_snapshot(releases, 2);
  releases.note_taken();
  CHECK(make_snapshot(releases, 2) == std::set<int>{0, 1});
}

TEST_CASE("where no plugin is named, halves tell who is to blame, and each change waits once at most") {
  Releases releases;
  constexpr int kCount = 16, kGuilty = 11;
  std::set<int> in_quarantine;
  for (int i = 0; i < kCount; i++) in_quarantine.insert(i);
  for (int changes = 0; in_quarantine.size() > 1; changes++) {
    REQUIRE(changes < 20);
    const auto make = [&] {
      std::set<int> out;
      releases.begin();
      for (const int i : in_quarantine) {
        if (releases.find_held(consumer(i)) != nullptr || !releases.takes_more()) continue;
        releases.add(consumer(i), "{}");
        out.insert(i);
      }
      return out;
    };
    std::set<int> out = make();
    if (out.count(kGuilty) > 0) {
      REQUIRE(releases.doubt("worker 0: died"));
      out = make();
      REQUIRE(out.empty());
    }
    releases.note_taken();
    for (const int i : out) in_quarantine.erase(i);
    if (releases.find_held(consumer(kGuilty)) != nullptr) {
      CHECK(*releases.find_held(consumer(kGuilty)) == "refused by worker 0: died");
      for (const int i : make()) in_quarantine.erase(i);
    }
  }
  CHECK(in_quarantine == std::set<int>{kGuilty});
}

TEST_CASE("what workers have said counts until the code may be another") {
  Releases releases;
  make_snapshot(releases, 1);
  REQUIRE(releases.blame({{"picky", "boom"}}));
  REQUIRE(make_snapshot(releases, 1).empty());
  releases.forget_all();
  CHECK(make_snapshot(releases, 1).size() == 1);
}
