// SPDX-License-Identifier: Apache-2.0
#include "redis/slots.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate;
using namespace moongate::redis;

namespace {

Reply integer(int64_t value) {
  Reply reply;
  reply.kind = Reply::Kind::kInteger;
  reply.integer = value;
  return reply;
}

Reply text(std::string value) {
  Reply reply;
  reply.kind = Reply::Kind::kText;
  reply.text = std::move(value);
  return reply;
}

Reply array(std::vector<Reply> items) {
  Reply reply;
  reply.kind = Reply::Kind::kArray;
  reply.items = std::move(items);
  return reply;
}

std::string show(std::string_view error) {
  const auto found = parse_redirection(error, "asked.test");
  if (!found) return "none";
  return (found->is_lasting ? "moved " : "ask ") + std::to_string(found->slot) + " " + found->place.text();
}

}  // namespace

TEST_CASE("slots are those of the cluster specification") {
  CHECK(slot_of("123456789") == 0x31c3);
  CHECK(slot_of("foo") == 12182);
  CHECK(slot_of("") == 0);
  CHECK(slot_of("{user1000}.following") == slot_of("user1000"));
  CHECK(slot_of("a{user1000}b{other}") == slot_of("user1000"));
  CHECK(slot_of("foo{{bar}}zap") == slot_of("{bar"));
  CHECK(slot_of("foo{}{bar}") != slot_of("bar"));
  CHECK(slot_of("foo{bar") != slot_of("bar"));
}

TEST_CASE("places are a host and a port") {
  CHECK(parse_place("redis.test:6379")->text() == "redis.test:6379");
  CHECK(parse_place("[::1]:7000")->host == "::1");
  CHECK(parse_place("[::1]:7000")->text() == "[::1]:7000");
  for (const char* bad :
       {"", "redis", ":1", "a:", "a:0", "a:65536", "a:1x", "a b:1", "[]:1", "redis://a:1", "a:-1"}) {
    INFO(bad);
    const auto place = parse_place(bad);
    REQUIRE_FALSE(place);
    CHECK(place.error().detail.find("HOST:PORT") != std::string::npos);
  }
}

TEST_CASE("redirections name a slot and a place") {
  CHECK(show("MOVED 3999 127.0.0.1:6381") == "moved 3999 127.0.0.1:6381");
  CHECK(show("ASK 0 redis-2.test:7001") == "ask 0 redis-2.test:7001");
  CHECK(show("MOVED 16383 ::1:6381") == "moved 16383 [::1]:6381");
  CHECK(show("MOVED 1 :6381") == "moved 1 asked.test:6381");
}

TEST_CASE("what is no redirection is not followed") {
  for (const char* bad : {"", "MOVED", "MOVED 1", "MOVED x a:1", "MOVED 16384 a:1", "MOVED -1 a:1",
                          "MOVED 1 a", "MOVED 1 a:0", "MOVED 1 a:99999", "moved 1 a:1", "ASKING 1 a:1",
                          "ERR MOVED 1 a:1", "CLUSTERDOWN Hash slot not served"}) {
    INFO(bad);
    CHECK(show(bad) == "none");
  }
}

TEST_CASE("the map of slots tells first, last and owner of each range") {
  const Reply reply =
      array({array({integer(0), integer(5460), array({text("10.0.0.1"), integer(7000), text("id")}),
                    array({text("10.0.0.9"), integer(7009)})}),
             array({integer(5461), integer(16383), array({Reply(), integer(7001)})})});
  const auto ranges = parse_slots(reply, "asked.test");
  REQUIRE(ranges);
  REQUIRE(ranges->size() == 2);
  CHECK((*ranges)[0].last == 5460);
  CHECK((*ranges)[0].owner.text() == "10.0.0.1:7000");
  CHECK((*ranges)[1].owner.text() == "asked.test:7001");
}

TEST_CASE("a map of slots that makes no sense is refused as a whole") {
  const Reply owner = array({text("a"), integer(1)});
  Reply error = text("ERR This instance has cluster support disabled");
  error.kind = Reply::Kind::kError;
  for (const Reply& bad :
       {error, text("x"), array({text("x")}), array({array({integer(0), integer(16384), owner})}),
        array({array({integer(-1), integer(1), owner})}), array({array({integer(0), integer(1)})}),
        array({array({integer(0), integer(1), array({text("a"), integer(70000)})})})}) {
    CHECK_FALSE(parse_slots(bad, "asked.test"));
  }
}
