// SPDX-License-Identifier: Apache-2.0
#include "shm/process_table.h"

#include <catch2/catch.hpp>
#include <string>

#include "shm/segment.h"

using namespace moongate;
using namespace moongate::shm;

namespace {

struct Fixture {
  Segment segment = Segment::make(ProcessTable::size_bytes() + 4096).take();
  ProcessTable* table = ProcessTable::make(segment.area("processes", ProcessTable::size_bytes(), 128));
};

}  // namespace

TEST_CASE("a segment gives areas that do not overlap and refuses what does not fit") {
  Segment segment = Segment::make(8192).take();
  auto* first = static_cast<char*>(segment.area("first", 100));
  auto* second = static_cast<char*>(segment.area("second", 100, 128));
  REQUIRE(first != nullptr);
  REQUIRE(second >= first + 100);
  REQUIRE(reinterpret_cast<uintptr_t>(second) % 128 == 0);
  REQUIRE(segment.area("first", 10) == nullptr);
  REQUIRE(segment.area("third", 8192) == nullptr);
  REQUIRE(segment.area("fourth", SIZE_MAX) == nullptr);
  REQUIRE(segment.find("second") == second);
  REQUIRE(segment.find("third") == nullptr);
  REQUIRE_FALSE(Segment::make(0).ok());
}

TEST_CASE("a process that starts again keeps its counts and loses its gauges") {
  Fixture fixture;
  ProcessSlot& slot = fixture.table->slot(3);
  slot.start(100, base::WallTime(std::chrono::seconds(5)));
  REQUIRE(slot.state == ProcessState::kStarting);
  slot.beat();
  slot.request_count = 7;
  slot.active_count = 4;
  slot.running_plugin = 9;
  slot.start(101, base::WallTime(std::chrono::seconds(6)));
  REQUIRE(slot.pid == 101);
  REQUIRE(slot.heartbeat == 0);
  REQUIRE(slot.request_count == 7);
  REQUIRE(slot.active_count == 0);
  REQUIRE(slot.running_plugin == 0);
  REQUIRE(slot.started_at_ns == 6000000000);
  slot.finish();
  REQUIRE(process_state_name(slot.state) == "dead");
}

TEST_CASE("a plugin has one number, and nested calls give the outer plugin back") {
  Fixture fixture;
  const uint32_t auth = fixture.table->plugin_id("key-auth");
  const uint32_t limit = fixture.table->plugin_id("limit-count");
  REQUIRE(auth != limit);
  REQUIRE(auth != 0);
  REQUIRE(fixture.table->plugin_id("key-auth") == auth);
  REQUIRE(fixture.table->plugin_name(limit) == "limit-count");
  REQUIRE(fixture.table->plugin_name(0).empty());
  REQUIRE(fixture.table->plugin_name(60000).empty());
  ProcessSlot& slot = fixture.table->control();
  {
    RunningPlugin outer(slot, auth);
    {
      RunningPlugin inner(slot, limit);
      REQUIRE(slot.running_plugin == limit);
    }
    REQUIRE(slot.running_plugin == auth);
  }
  REQUIRE(slot.running_plugin == 0);
}

TEST_CASE("the name table cuts long names and shares one name when it is full") {
  Fixture fixture;
  const uint32_t id = fixture.table->plugin_id(std::string(100, 'x'));
  REQUIRE(fixture.table->plugin_name(id) == std::string(47, 'x'));
  for (int i = 0; i < 2000; ++i) fixture.table->plugin_id("plugin-" + std::to_string(i));
  const uint32_t late = fixture.table->plugin_id("one-too-many");
  REQUIRE(fixture.table->plugin_name(late) == "(other)");
  REQUIRE(fixture.table->plugin_name(id) == std::string(47, 'x'));
}
