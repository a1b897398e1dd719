// SPDX-License-Identifier: Apache-2.0
#include "proxy/forward.h"

#include <catch2/catch.hpp>

#include "gateway_fixture.h"

using namespace moongate;
using namespace moongate::proxy_fixture;

namespace {

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; }

std::string route_to(const std::string& uri, const std::string& nodes, const std::string& more = "") {
  return R"({"uri": ")" + uri + R"(", "upstream": {"type": "roundrobin", "nodes": {)" + nodes + "}" + more +
         "}}";
}

/// Lets the origin answer whatever comes.
void answer_all(Origin& origin) {
  origin.turn();
  for (auto& connection : origin.connections) {
    if (!has(connection->received, "\r\n\r\n")) continue;
    connection->received.clear();
    connection->send(kOk);
  }
}

std::string ask(Gateway& gateway, Origin& origin, const std::string& path) {
  auto client = gateway.connect();
  client->send(get(path));
  gateway.turn_until({[&] { client->turn(); }, [&] { answer_all(origin); }},
                     [&] { return has(client->received, "\r\n\r\n"); });
  return client->received.substr(0, client->received.find("\r\n"));
}

}  // namespace

TEST_CASE("a name that is known at once is picked up in place after a node that failed") {
  Origin origin;
  Gateway::Config config;
  config.names.hosts = {{"named.test", "127.0.0.1"}};
  config.routes = {
      route_to("/*", R"("127.0.0.1:1": 1, "named.test:)" + std::to_string(origin.port) + "\": 1")};
  Gateway gateway(config);
  REQUIRE(gateway.complaints.empty());
  for (int i = 0; i < 4; i++) CHECK(ask(gateway, origin, "/") == "HTTP/1.1 200 OK");
}

TEST_CASE("a request that failed at once leaves nothing on the exchange it used") {
  Origin origin;
  Gateway::Config config;
  config.names.hosts = {{"named.test", "127.0.0.1"}};
  config.routes = {route_to("/dead", R"("unix:/nonexistent/socket": 1)"),
                   route_to("/named", "\"named.test:" + std::to_string(origin.port) + "\": 1")};
  Gateway gateway(config);
  REQUIRE(gateway.complaints.empty());
  CHECK(ask(gateway, origin, "/dead") == "HTTP/1.1 502 Bad Gateway");
  CHECK(ask(gateway, origin, "/named") == "HTTP/1.1 200 OK");
}

TEST_CASE("any number of tries at a node that fails at once leaves stack and time to others") {
  Origin origin;
  Gateway::Config config;
  config.routes = {route_to("/dead", R"("unix:/nonexistent/socket": 1)", R"(, "retries": 1000000)"),
                   route_to("/", origin.node())};
  Gateway gateway(config);
  REQUIRE(gateway.complaints.empty());
  auto patient = gateway.connect();
  patient->send(get("/dead"));
  gateway.settle([&] { patient->turn(); });
  CHECK(ask(gateway, origin, "/") == "HTTP/1.1 200 OK");
}

TEST_CASE("a node that answers and closes at once is heard although the request was not taken") {
  Origin origin;
  Gateway gateway({{route_to("/*", origin.node())}, {}});
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n" +
               std::string(30'000'000, 'b'));
  REQUIRE(gateway.turn_until(*client, origin, [&] { return !origin.connections.empty(); }));
  origin.connections[0]->is_reading = false;
  origin.connections[0]->send(
      "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  origin.connections[0]->finish_sending();
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "\r\n\r\nno"); }));
  CHECK(has(client->received, "HTTP/1.1 401 "));
}

TEST_CASE("an answer that ends before its request did gives the connection back to nobody") {
  Origin origin;
  Gateway gateway({{route_to("/*", origin.node())}, {}});
  auto client = gateway.connect();
  client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  REQUIRE(gateway.turn_until(*client, origin, [&] {
    return !origin.connections.empty() && has(origin.connections[0]->received, "abc");
  }));
  origin.connections[0]->send(kOk);
  REQUIRE(gateway.turn_until(*client, origin, [&] { return has(client->received, "\r\n\r\nok"); }));
  client->send("def" + get("/second"));
  REQUIRE(gateway.turn_until(*client, origin, [&] { return origin.connections.size() == 2; }));
  REQUIRE(gateway.turn_until(*client, origin,
                             [&] { return has(origin.connections[1]->received, "GET /second "); }));
  CHECK_FALSE(has(origin.connections[0]->received, "GET"));
}

TEST_CASE("the active count of a node returns to nothing however its requests end") {
  Origin origin;
  Gateway gateway({{route_to("/*", origin.node())}, {}});
  const auto& node = gateway.context().snapshot->routes[0]->upstream->nodes()[0];
  for (const std::string& answer : {kOk, std::string("garbage\r\n\r\n"), std::string()}) {
    auto client = gateway.connect();
    client->send(get("/"));
    size_t before = origin.connections.size();
    REQUIRE(gateway.turn_until(*client, origin, [&] { return node.active == 1; }));
    REQUIRE(gateway.turn_until(*client, origin, [&] {
      return origin.connections.size() > before || has(origin.connections.back()->received, "\r\n\r\n");
    }));
    if (answer.empty())
      client->close();  // the client gives up instead
    else
      origin.connections.back()->send(answer);
    REQUIRE(gateway.turn_until(*client, origin, [&] { return node.active == 0 || answer.empty(); }));
    client->close();
    REQUIRE(gateway.turn_until(*client, origin,
                               [&] { return gateway.context().connection_count == 0 || answer.empty(); }));
  }
}
