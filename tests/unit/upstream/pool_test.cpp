// SPDX-License-Identifier: Apache-2.0
#include "upstream/pool.h"

#include <vector>

#include "upstream_fixture.h"

using namespace moongate;
using namespace moongate::upstream;
using namespace moongate::upstream_fixture;

namespace {

struct Fixture : Turning {
  /// A connection that stands.
  std::unique_ptr<Connection> connect(std::string_view server_name = "") {
    auto connection = std::make_unique<Connection>(*endpoint, server_name);
    bool is_known = false;
    REQUIRE(connection->stream
                .start_connect(
                    *loop, node.address, [](void* flag) { *static_cast<bool*>(flag) = true; }, &is_known)
                .ok());
    REQUIRE(turn_until(node, [&] { return is_known; }));
    REQUIRE(connection->stream.finish_connect() == 0);
    connection->stream.redirect([](void*) {}, nullptr);
    return connection;
  }
  NodeServer node;
  std::shared_ptr<Endpoint> endpoint = std::make_shared<Endpoint>(*loop, node.address);
  PoolLimits limits;
};

}  // namespace

TEST_CASE("the freshest connection is given out first") {
  Fixture f;
  auto older = f.connect(), newer = f.connect();
  Connection *first = older.get(), *second = newer.get();
  f.endpoint->checkin(std::move(older), f.limits);
  f.endpoint->checkin(std::move(newer), f.limits);
  CHECK(f.endpoint->idle_count() == 2);
  auto taken = f.endpoint->try_checkout();
  CHECK(taken.get() == second);
  auto next = f.endpoint->try_checkout();
  CHECK(next.get() == first);
  CHECK(f.endpoint->try_checkout() == nullptr);
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("more than may be idle push out the oldest") {
  Fixture f;
  f.limits.idle_max = 2;
  std::vector<Connection*> all;
  for (int i = 0; i < 3; i++) {
    auto connection = f.connect();
    all.push_back(connection.get());
    f.endpoint->checkin(std::move(connection), f.limits);
  }
  CHECK(f.endpoint->idle_count() == 2);
  auto newest = f.endpoint->try_checkout();
  auto middle = f.endpoint->try_checkout();
  CHECK(newest.get() == all[2]);
  CHECK(middle.get() == all[1]);
}

TEST_CASE("a connection that has carried its share, or is not to be kept, is closed") {
  Fixture f;
  auto worn = f.connect();
  worn->requests = f.limits.requests_max;
  f.endpoint->checkin(std::move(worn), f.limits);
  CHECK(f.endpoint->idle_count() == 0);
  f.limits.idle_max = 0;
  f.endpoint->checkin(f.connect(), f.limits);
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("an idle connection ends with its time, one that was used in between begins again") {
  Fixture f;
  f.endpoint->checkin(f.connect(), f.limits);
  f.advance(std::chrono::seconds(50));
  f.settle(f.node);
  f.endpoint->checkin(f.endpoint->try_checkout(), f.limits);
  f.advance(std::chrono::seconds(50));
  f.settle(f.node);
  CHECK(f.endpoint->idle_count() == 1);
  f.advance(std::chrono::seconds(20));
  f.settle(f.node);
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("an idle connection that the node ends is forgotten") {
  Fixture f;
  f.endpoint->checkin(f.connect(), f.limits);
  REQUIRE(f.turn_until(f.node, [&] { return f.node.has_connection(); }));
  f.node.close();
  CHECK(f.turn_until(f.node, [&] { return f.endpoint->idle_count() == 0; }));
}

TEST_CASE("one address has one endpoint as long as somebody holds it") {
  Fixture f;
  Pool pool(*f.loop);
  auto first = pool.get(f.node.address);
  CHECK(pool.get(f.node.address) == first);
  std::weak_ptr<Endpoint> watched = first;
  first.reset();
  CHECK(watched.expired());
  CHECK(pool.get(f.node.address) != nullptr);
}

TEST_CASE("endpoints that nobody holds take their idle connections with them") {
  Fixture f;
  f.endpoint->checkin(f.connect(), f.limits);
  REQUIRE(f.turn_until(f.node, [&] { return f.node.has_connection(); }));
  f.endpoint.reset();
  f.settle(f.node);
}

TEST_CASE("a pool of many short-lived endpoints hands out the right one each time") {
  Fixture f;
  Pool pool(*f.loop);
  std::vector<std::shared_ptr<Endpoint>> held;
  for (uint16_t port = 1; port <= 1000; port++) {
    auto endpoint = pool.get(*net::make_ip_address("10.0.0.1", port));
    CHECK(endpoint->address().port() == port);
    if (port % 10 == 0) held.push_back(endpoint);
  }
  for (const auto& endpoint : held) CHECK(pool.get(endpoint->address()) == endpoint);
}

namespace {

std::shared_ptr<const tls::ClientContext> untrusting_context(tls::Version version_max) {
  tls::ClientOptions options;
  options.is_verifying = false;
  options.version_max = version_max;
  return tls::ClientContext::make(options).take();
}

}  // namespace

TEST_CASE("a connection is given out for the server name it was made for, in TLS") {
  Fixture f;
  f.endpoint = std::make_shared<Endpoint>(*f.loop, f.node.address, untrusting_context(tls::Version::kTls13));
  auto a = f.connect("a.test"), b = f.connect("b.test");
  const Connection *first = a.get(), *second = b.get();
  f.endpoint->checkin(std::move(a), f.limits);
  f.endpoint->checkin(std::move(b), f.limits);
  CHECK(f.endpoint->try_checkout("c.test") == nullptr);
  CHECK(f.endpoint->try_checkout() == nullptr);
  CHECK(f.endpoint->try_checkout("a.test").get() == first);
  CHECK(f.endpoint->try_checkout("a.test") == nullptr);
  CHECK(f.endpoint->try_checkout("b.test").get() == second);
  CHECK(f.endpoint->idle_count() == 0);
}

TEST_CASE("an address has an endpoint in clear and one for each context") {
  Fixture f;
  Pool pool(*f.loop);
  const auto one = untrusting_context(tls::Version::kTls13), other = untrusting_context(tls::Version::kTls12);
  const auto clear = pool.get(f.node.address), first = pool.get(f.node.address, one),
             second = pool.get(f.node.address, other);
  CHECK(clear != first);
  CHECK(first != second);
  CHECK(pool.get(f.node.address, untrusting_context(tls::Version::kTls13)) == first);
  CHECK(pool.get(f.node.address) == clear);
}
