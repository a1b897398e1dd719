// SPDX-License-Identifier: Apache-2.0
#include "proxy/identity.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace moongate;
using namespace moongate::proxy;

namespace {

/// Settles the identity of a request with these field lines, sent by `peer`.
struct Fixture {
  explicit Fixture(const std::string& lines, const std::string& peer = "192.0.2.1",
                   const std::vector<std::string>& trusted = {"10.0.0.0/8"}) {
    context.client.trusted = router::AddressSet::parse(trusted).take();
    http::HeadFault fault;
    std::string_view kept = exchange.arena.copy("GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n");
    REQUIRE(http::parse_request_head(kept, {}, &exchange.request, &fault));
    exchange.peer_address = exchange.arena.copy(peer);
    if (auto address = router::parse_address(peer)) exchange.remote = *address;
    settle_identity(context, exchange);
  }
  bool has(std::string_view name) const { return exchange.request.fields.find(name) != nullptr; }

  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  upstream::Pool pool{*loop};
  Context context{*loop, pool};
  exchange::Exchange exchange{0};
};

}  // namespace

TEST_CASE("names that only the gateway may give are known in every spelling") {
  for (const char* name : {"X-Consumer-Username", "x_consumer_username", "X-CONSUMER_groups", "x-consumer-",
                           "X-Credential-Identifier", "X_Credential_Identifier", "X-Userinfo", "x_userinfo"})
    CHECK(is_identity_field(name));
  for (const char* name :
       {"X-Consumer", "X-Consumers-Name", "X-User", "X-Userinfo-More", "XX-Consumer-Id", "Consumer", ""})
    CHECK_FALSE(is_identity_field(name));
}

TEST_CASE("identity that a client claims is gone, whoever the client is") {
  for (const char* peer : {"192.0.2.1", "10.0.0.1"}) {
    Fixture f(
        "X-Consumer-Username: root\r\nx_consumer_id: 1\r\nX-Userinfo: e30=\r\nX-Credential-Identifier: "
        "c\r\nX-Kept: 1\r\n",
        peer);
    for (const char* name : {"X-Consumer-Username", "x_consumer_id", "X-Userinfo", "X-Credential-Identifier"})
      CHECK_FALSE(f.has(name));
    CHECK(f.has("X-Kept"));
  }
}

TEST_CASE("what Connection lists ends here, except what the gateway lives by") {
  Fixture f(
      "Connection: x-one, X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nConnection: close, authorization, "
      "cookie, host\r\n"
      "Authorization: Basic x\r\nCookie: a=b\r\n");
  CHECK_FALSE(f.has("X-One"));
  CHECK_FALSE(f.has("X-Two"));
  CHECK(f.has("X-Three"));
  CHECK(f.has("Authorization"));
  CHECK(f.has("Cookie"));
  CHECK(f.has("Host"));
}

TEST_CASE("fields before and after the Connection field that lists them go alike") {
  Fixture f(
      "X-A: 1\r\nX-B: 1\r\nConnection: x-a, x-b, x-c\r\nX-A: 2\r\nX-C: 1\r\nConnection: x-d\r\nX-D: "
      "1\r\nX-E: 1\r\n");
  for (const char* name : {"X-A", "X-B", "X-C", "X-D"}) CHECK_FALSE(f.has(name));
  CHECK(f.has("X-E"));
}

TEST_CASE("a stranger is its own address, whatever it says") {
  Fixture f(
      "X-Forwarded-For: 10.0.0.9\r\nX-Real-IP: 10.0.0.9\r\nX-Forwarded-Prefix: /a\r\nX_Forwarded_For: "
      "10.0.0.9\r\n");
  CHECK_FALSE(f.exchange.is_peer_trusted);
  CHECK(f.exchange.remote_address == "192.0.2.1");
  CHECK_FALSE(f.has("X-Forwarded-Prefix"));
  CHECK_FALSE(f.has("X_Forwarded_For"));
}

TEST_CASE("trusted hops vouch for the one before them, up to the first that is not trusted") {
  CHECK(Fixture("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.5\r\n", "10.0.0.1").exchange.remote_address ==
        "2.2.2.2");
  CHECK(Fixture("X-Forwarded-For: 10.0.0.4 ,10.0.0.5\r\n", "10.0.0.1").exchange.remote_address == "10.0.0.4");
  CHECK(Fixture("X-Forwarded-For: 1.1.1.1, junk\r\n", "10.0.0.1").exchange.remote_address == "10.0.0.1");
  CHECK(Fixture("X-Forwarded-For: 1.1.1.1, , 10.0.0.5\r\n", "10.0.0.1").exchange.remote_address ==
        "10.0.0.5");
  CHECK(Fixture("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n", "10.0.0.1")
            .exchange.remote_address == "1.1.1.1");
  CHECK(Fixture("", "10.0.0.1").exchange.remote_address == "10.0.0.1");
}

TEST_CASE("another spelling of a forwarded field is nobody's, not even a trusted peer's") {
  Fixture f("X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Prefix: /a\r\n", "10.0.0.1");
  CHECK_FALSE(f.has("X_Forwarded_For"));
  CHECK(f.has("X-Forwarded-Prefix"));
  CHECK(f.exchange.remote_address == "10.0.0.1");
}

TEST_CASE("with nobody trusted, nobody is") {
  Fixture f("X-Forwarded-For: 1.1.1.1\r\n", "127.0.0.1", {});
  CHECK_FALSE(f.exchange.is_peer_trusted);
  CHECK(f.exchange.remote_address == "127.0.0.1");
}
