// SPDX-License-Identifier: Apache-2.0
#include "exchange/exchange.h"

#include <catch2/catch.hpp>
#include <string>

#include "exchange_fixture.h"

using namespace moongate;
using namespace moongate::exchange;
using namespace moongate::exchange_fixture;

TEST_CASE("nothing of one request is left when the next begins") {
  ExchangePool pool;
  SilentClient client;
  Exchange* used = pool.take();
  used->begin(client, std::make_shared<const snapshot::Snapshot>());
  scribble(*used);
  uint64_t serial = used->serial;
  pool.give(used);
  Exchange* again = pool.take();
  REQUIRE(again == used);
  CHECK(again->serial != serial);
  Exchange fresh(again->slot);
  CHECK(describe(*again) == describe(fresh));
  CHECK(again->arena.size_bytes() == 0);
}

TEST_CASE("the pool counts who is out, and makes new ones only when all are") {
  ExchangePool pool;
  Exchange* first = pool.take();
  Exchange* second = pool.take();
  CHECK(first->slot != second->slot);
  CHECK(pool.at(second->slot) == second);
  CHECK(pool.active() == 2);
  pool.give(first);
  CHECK(pool.active() == 1);
  CHECK(pool.take() == first);
}

TEST_CASE("a request's id is made once, is 32 hexadecimal digits, and differs from others'") {
  Exchange one(0), other(1);
  std::string id(one.request_id());
  CHECK(one.request_id() == id);
  CHECK(id.size() == 32);
  CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(other.request_id() != id);
}

TEST_CASE("a failure is answered in JSON that survives any reason") {
  Exchange exchange(0);
  exchange.fail(400, "bad \"quote\"\n\x01");
  CHECK(exchange.response.status == 400);
  CHECK(exchange.source == AnswerSource::kGateway);
  CHECK(exchange.answer_body.find(R"("bad \"quote\"\n)") != std::string::npos);
  CHECK(exchange.answer_body.find(exchange.request_id()) != std::string::npos);
  CHECK(exchange.response.fields.find("Content-Type")->value == "application/json");
}

TEST_CASE("an answer replaces the one before it, fields and all") {
  Exchange exchange(0);
  exchange.answer(200, "first", "text/plain");
  exchange.response.fields.add("X-Old", "1");
  exchange.answer(403, "second", "");
  CHECK(exchange.answer_body == "second");
  CHECK(exchange.response.fields.count() == 0);
}

TEST_CASE("fields set before there was a head are laid over it once, cookies beside the others") {
  Exchange exchange(0);
  exchange.response_fields().add("X-A", "early");
  exchange.response_fields().add("Set-Cookie", "early");
  exchange.response.fields.add("x-a", "node");
  exchange.response.fields.add("X-B", "node");
  exchange.response.fields.add("Set-Cookie", "node");
  exchange.begin_response();
  exchange.begin_response();
  CHECK(exchange.response.fields.find("X-A")->value == "early");
  CHECK(exchange.response.fields.find("X-B")->value == "node");
  int cookies = 0, overlaid = 0;
  for (const http::Field& field : exchange.response.fields) {
    cookies += field.id == http::FieldId::kSetCookie;
    overlaid += http::equals_ignoring_case(field.name, "x-a");
  }
  CHECK(cookies == 2);
  CHECK(overlaid == 1);
  exchange.response_fields().set("X-Late", "1");
  CHECK(exchange.response.fields.find("X-Late") != nullptr);
}
