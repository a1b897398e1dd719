// SPDX-License-Identifier: Apache-2.0
// Building in slices: what is refused, what is shared, and that slices stay small.
#include "router/router_builder.h"

#include <catch2/catch.hpp>

using namespace moongate::router;
using Mode = Router::Mode;

namespace {

RouteSpec route(std::string id, std::vector<std::string> uris, std::vector<std::string> hosts = {}) {
  RouteSpec spec;
  spec.id = std::move(id);
  spec.uris = std::move(uris);
  spec.hosts = std::move(hosts);
  return spec;
}

Request get(std::string_view path, std::string_view host = "") {
  return {path, host, 0, moongate::http::Method::kGet, "GET"};
}

}  // namespace

TEST_CASE("a route that cannot be indexed is refused with its id and left out") {
  Router::Builder builder(Mode::kUriWithParameter);
  CHECK(builder.add(route("1", {})).error().detail == "route '1': has no uri");
  CHECK(builder.add(route("2", {"/a", ""})).error().detail == "route '2': uri is empty");
  CHECK(builder.add(route("3", {"/a"}, {"a.com", ""})).error().detail == "route '3': a host is empty");
  std::string many;
  for (int i = 0; i < 17; i++) many += "/:p";
  CHECK(builder.add(route("4", {many})).error().detail ==
        "route '4': uri '" + many + "' has more than 16 parameters");
  CHECK(builder.add(route("5", {"/b"})).ok());
  auto router = builder.finish();
  Match match;
  CHECK(router->route_count() == 1);
  CHECK_FALSE(router->match(get("/a"), &match));
  CHECK(router->match(get("/b"), &match));
}

TEST_CASE("specs are shared, with another target and order if need be") {
  auto a = std::make_shared<const RouteSpec>(route("a", {"/x"}));
  auto b = std::make_shared<const RouteSpec>(route("b", {"/x"}));
  std::unique_ptr<const Router> routers[2];
  for (uint32_t turn = 0; turn < 2; turn++) {
    Router::Builder builder(Mode::kHostUri);
    REQUIRE(builder.add(a, 10 + turn, turn).ok());
    REQUIRE(builder.add(b, 20 + turn, 1 - turn).ok());
    routers[turn] = builder.finish();
  }
  Match match;
  REQUIRE(routers[0]->match(get("/x"), &match));
  CHECK(match.spec == a.get());
  CHECK(match.target == 10);
  REQUIRE(routers[1]->match(get("/x"), &match));
  CHECK(match.spec == b.get());
  CHECK(match.target == 21);
  CHECK(a.use_count() == 3);
  routers[0].reset();
  routers[1].reset();
  CHECK(a.use_count() == 1);
}

TEST_CASE("slices of one unit reach the same router as one large step") {
  for (Mode mode : {Mode::kHostUri, Mode::kUri, Mode::kUriWithParameter}) {
    for (size_t budget : {size_t{1}, size_t{3}, size_t{200}, size_t{1} << 30}) {
      Router::Builder builder(mode);
      for (uint32_t i = 0; i < 300; i++) {
        std::string number = std::to_string(i);
        RouteSpec spec = route(number, {"/e" + number, "/p" + number + "/*"},
                               {"*.h" + number + ".com", "H" + number + ".com:81"});
        if (i % 3 == 0) spec.hosts.clear();
        spec.target = spec.order = i;
        REQUIRE(builder.add(std::move(spec)).ok());
      }
      while (!builder.step(budget)) {
      }
      CHECK(builder.step(budget));
      auto router = builder.finish();
      size_t found = 0;
      for (uint32_t i = 0; i < 300; i++) {
        std::string number = std::to_string(i);
        Match match;
        found +=
            router->match(get("/p" + number + "/x", "a.h" + number + ".com"), &match) && match.target == i;
        std::string path = "/e" + number;
        std::string host = "h" + number + ".com";
        Request request = get(path, host);
        request.port = 81;
        found += router->match(request, &match) && match.target == i;
      }
      CHECK(found == 600);
    }
  }
}

TEST_CASE("the number of slices grows with the routes, so that each is small") {
  auto count_steps = [](uint32_t route_count) {
    Router::Builder builder(Mode::kHostUri);
    for (uint32_t i = 0; i < route_count; i++) {
      REQUIRE(builder.add(route(std::to_string(i), {"/r" + std::to_string(i) + "/*"})).ok());
    }
    size_t steps = 1;
    while (!builder.step(200)) steps++;
    return steps;
  };
  CHECK(count_steps(10) <= 2);
  CHECK(count_steps(10000) >= 150);
}

TEST_CASE("one route with very many uris and hosts is built in slices too") {
  RouteSpec spec = route("big", {}, {});
  for (int i = 0; i < 100; i++) spec.uris.push_back("/u" + std::to_string(i));
  for (int i = 0; i < 100; i++) spec.hosts.push_back("h" + std::to_string(i) + ".com");
  Router::Builder builder(Mode::kHostUri);
  REQUIRE(builder.add(std::move(spec)).ok());
  size_t steps = 1;
  while (!builder.step(200)) steps++;
  CHECK(steps >= 100);
  auto router = builder.finish();
  Match match;
  CHECK(router->match(get("/u99", "h99.com"), &match));
  CHECK_FALSE(router->match(get("/u99", "h100.com"), &match));
}
