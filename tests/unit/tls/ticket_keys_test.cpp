// SPDX-License-Identifier: Apache-2.0
#include "tls/ticket_keys.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

using namespace moongate;
using namespace moongate::tls;
using namespace std::chrono_literals;

namespace {

const base::WallTime kStart{std::chrono::hours(24) * 20000};
constexpr auto kPeriod = TicketKeys::kPeriod;

TicketKeys started() {
  TicketKeys keys;
  keys.start(kStart);
  return keys;
}

bool is_same(const TicketKey& a, const TicketKey& b) {
  return a.name == b.name && a.cipher_key == b.cipher_key && a.mac_key == b.mac_key;
}

bool is_same(const TicketKeys& a, const TicketKeys& b) {
  return is_same(a.current(), b.current()) && is_same(a.former(), b.former());
}

}  // namespace

TEST_CASE("processes that began with the same ticket keys have the same after any step of the calendar") {
  const TicketKeys first = started();
  for (const base::Duration step :
       std::initializer_list<base::Duration>{1s, kPeriod, 3 * kPeriod, 40 * 24h, 366 * 24h, 366 * 24h * 50}) {
    CAPTURE(step.count());
    TicketKeys one = first;
    TicketKeys other = first;
    one.advance(kStart + step);
    other.advance(kStart + step);
    CHECK(is_same(one, other));
    one.advance(kStart + step + kPeriod);
    TicketKeys idle = first;  // sees the step and the next period at once
    idle.advance(kStart + step + kPeriod);
    CHECK(is_same(one, idle));
  }
}

TEST_CASE("ticket keys do not depend on when a process looks at the calendar") {
  const TicketKeys first = started();
  for (const base::Duration end : std::initializer_list<base::Duration>{5 * kPeriod, 100 * 24h, 366 * 24h}) {
    CAPTURE(end.count());
    TicketKeys at_once = first;
    at_once.advance(kStart + end);
    TicketKeys in_two = first;
    in_two.advance(kStart + end / 2);
    in_two.advance(kStart + end);
    TicketKeys each_hour = first;
    for (base::Duration at{}; at <= end; at += 1h) each_hour.advance(kStart + at);
    CHECK(is_same(at_once, in_two));
    CHECK(is_same(at_once, each_hour));
  }
}

TEST_CASE("a ticket key opens tickets for one period more, and is gone then") {
  TicketKeys keys = started();
  const TicketKey first = keys.current();
  keys.advance(kStart + kPeriod - 1s);
  CHECK(is_same(keys.current(), first));
  keys.advance(kStart + kPeriod);
  CHECK_FALSE(is_same(keys.current(), first));
  CHECK(is_same(keys.former(), first));
  TicketKeys stepped = keys;
  for (TicketKeys* each : {&keys, &stepped}) {
    each->advance(kStart + (each == &keys ? 2 * kPeriod : base::Duration(5000 * kPeriod)));
    CHECK_FALSE(is_same(each->current(), first));
    CHECK_FALSE(is_same(each->former(), first));
    CHECK_FALSE(is_same(each->current(), each->former()));
  }
  keys.advance(kStart);  // set back: what is gone stays so
  CHECK_FALSE(is_same(keys.former(), first));
}

TEST_CASE("kept ticket keys go on where they were, and are made anew when the file is long over") {
  char folder[] = "/tmp/moongate-tickets-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/ticket.key";
  TicketKeys kept;
  REQUIRE(kept.start_kept(path, kStart));
  TicketKeys next;
  REQUIRE(next.start_kept(path, kStart + 3 * kPeriod));
  TicketKeys advanced = kept;
  advanced.advance(kStart + 3 * kPeriod);
  CHECK(is_same(next, advanced));
  const base::WallTime late = kStart + 100 * kPeriod;
  TicketKeys anew;
  REQUIRE(anew.start_kept(path, late));
  advanced.advance(late);
  CHECK_FALSE(is_same(anew.current(), advanced.current()));
  TicketKeys again;
  REQUIRE(again.start_kept(path, late));
  CHECK(is_same(anew, again));
  std::filesystem::remove_all(folder);
}
