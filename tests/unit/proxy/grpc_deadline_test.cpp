// SPDX-License-Identifier: Apache-2.0
#include "proxy/grpc_deadline.h"

#include <catch2/catch.hpp>

using namespace moongate;
using namespace std::chrono_literals;

namespace {

std::optional<base::Duration> timeout_of(std::string_view text, std::string_view type = "application/grpc") {
  base::Arena arena;
  http::RequestHead request(&arena);
  request.fields.add("content-type", type);
  request.fields.add("grpc-timeout", text);
  return proxy::find_grpc_timeout(request);
}

}  // namespace

TEST_CASE("a call's timeout has up to eight digits and a unit") {
  CHECK(timeout_of("1H") == 1h);
  CHECK(timeout_of("2M") == 2min);
  CHECK(timeout_of("3S") == 3s);
  CHECK(timeout_of("4m") == 4ms);
  CHECK(timeout_of("5u") == 5us);
  CHECK(timeout_of("99999999n") == 99999999ns);
  CHECK(timeout_of("0S") == 0s);
}

TEST_CASE("a timeout of years is one of thirty days") {
  CHECK(timeout_of("99999999H") == 720h);
  CHECK(timeout_of("99999999S") == 720h);
  CHECK(timeout_of("720H") == 720h);
  CHECK(timeout_of("719H") == 719h);
}

TEST_CASE("what is no timeout is left to the server") {
  for (const char* text :
       {"", "S", "1", "-1S", "+1S", " 1S", "1 S", "1S ", "1s", "1h", "123456789S", "0x1S", "1.5S"})
    CHECK(timeout_of(text) == std::nullopt);
}

TEST_CASE("only gRPC has deadlines") {
  CHECK(timeout_of("1S", "application/grpc+proto") == 1s);
  CHECK(timeout_of("1S", "application/json") == std::nullopt);
  CHECK(timeout_of("1S", "") == std::nullopt);
}
