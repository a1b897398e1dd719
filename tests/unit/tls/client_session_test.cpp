// SPDX-License-Identifier: Apache-2.0
// The client's side of a handshake against our own server's side, both on one loop.
#include "tls/certificate.h"
#include "tls_fixture.h"

using namespace moongate;
using namespace moongate::tls;

TEST_CASE("a client believes a certificate that is trusted and for the name, and sends the name") {
  Pair pair;
  CHECK(pair.shake(make_client(), {"a.test", nullptr}) == IoStatus::kOk);
  CHECK(pair.server->session()->server_name() == "a.test");
  CHECK(pair.shake(make_client(), {"x.w.test", nullptr}) == IoStatus::kOk);
}

TEST_CASE("an address is verified and not sent as a name") {
  Pair pair;
  CHECK(pair.shake(make_client(), {"127.0.0.1", nullptr}) == IoStatus::kOk);
  CHECK(pair.server->session()->server_name().empty());
  CHECK(pair.shake(make_client(), {"127.0.0.2", nullptr}) == IoStatus::kError);
  CHECK(pair.client->session()->describe_failure() == "the server's certificate is not for 127.0.0.2");
}

TEST_CASE("a wrong name, an unknown authority and no name at all end the handshake with the reason") {
  Pair pair;
  CHECK(pair.shake(make_client(), {"b.test", nullptr}) == IoStatus::kError);
  CHECK(pair.client->session()->describe_failure() == "the server's certificate is not for b.test");
  CHECK(pair.shake(make_client(true, false), {"a.test", nullptr}) == IoStatus::kError);
  CHECK(pair.client->session()->describe_failure().find("not trusted") != std::string::npos);
  CHECK(pair.shake(make_client(), {"", nullptr}) == IoStatus::kError);
  CHECK(pair.client->session()->describe_failure() ==
        "there is no name to verify the server's certificate against");
}

TEST_CASE("without verification any certificate does, with or without a name") {
  Pair pair;
  CHECK(pair.shake(make_client(false, false), {"b.test", nullptr}) == IoStatus::kOk);
  CHECK(pair.shake(make_client(false, false), {"", nullptr}) == IoStatus::kOk);
}

TEST_CASE("a session is resumed under its name, and forgotten when a handshake fails") {
  Pair pair;
  const auto context = make_client();
  const auto sessions = std::make_shared<SessionStore>();
  REQUIRE(pair.shake(context, {"a.test", sessions}) == IoStatus::kOk);
  CHECK_FALSE(pair.client->session()->is_resumed());
  pair.settle();
  CHECK(sessions->count() == 1);
  REQUIRE(pair.shake(context, {"a.test", sessions}) == IoStatus::kOk);
  CHECK(pair.client->session()->is_resumed());
  REQUIRE(pair.shake(context, {"x.w.test", sessions}) == IoStatus::kOk);
  CHECK_FALSE(pair.client->session()->is_resumed());
  sessions->keep("b.test", "no session");
  CHECK(pair.shake(context, {"b.test", sessions}) == IoStatus::kError);
  CHECK(sessions->find("b.test") == nullptr);
}

TEST_CASE("an end without close_notify is an error, one with it is an end") {
  Pair pair;
  char byte = 0;
  for (const bool is_polite : {true, false}) {
    REQUIRE(pair.shake(make_client(), {"a.test", nullptr}) == IoStatus::kOk);
    pair.settle();
    if (is_polite)
      pair.server->close();
    else
      pair.server->socket().shutdown_write();
    IoStatus status = IoStatus::kBlocked;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while ((status = pair.client->read(&byte, 1).status) == IoStatus::kBlocked) {
      REQUIRE(std::chrono::steady_clock::now() < limit);
      pair.pulse.start(pair.loop->timers(), std::chrono::milliseconds(1));
      pair.loop->run_once();
    }
    CHECK(status == (is_polite ? IoStatus::kEof : IoStatus::kError));
  }
}

TEST_CASE("contexts have the same key only when everything about them is the same") {
  ClientOptions options;
  options.trust = TrustStore::make("").take();
  const std::string plain = ClientContext::key_of(options);
  CHECK(plain == ClientContext::key_of(options));
  ClientOptions other = options;
  other.is_verifying = false;
  CHECK(ClientContext::key_of(other) != plain);
  other = options;
  other.trust = TrustStore::make(own_pair().certificate_pem).take();
  CHECK(ClientContext::key_of(other) != plain);
  other = options;
  other.certificate = own_pair();
  CHECK(ClientContext::key_of(other) != plain);
  other = options;
  other.version_min = Version::kTls13;
  CHECK(ClientContext::key_of(other) != plain);
  options.protocols = {"a", "b"};
  other = options;
  other.protocols = {"ab"};
  CHECK(ClientContext::key_of(other) != ClientContext::key_of(options));
}

TEST_CASE("a session store keeps the last session of the names used last") {
  SessionStore store;
  store.keep("a", "1");
  store.keep("a", "2");
  CHECK(*store.find("a") == "2");
  CHECK(store.find("b") == nullptr);
  for (size_t i = 1; i < SessionStore::kNamesMax; i++) store.keep(std::to_string(i), "x");
  CHECK(store.find("a") != nullptr);  // used last from here on
  store.keep("one more", "x");
  CHECK(store.count() == SessionStore::kNamesMax);
  CHECK(store.find("a") != nullptr);
  CHECK(store.find("1") == nullptr);
}

TEST_CASE("what is no certificate, or no key of it, is refused without a word of the key") {
  ClientOptions options;
  options.is_verifying = false;
  options.certificate = {"no certificate", own_pair().key_pem};
  CHECK(ClientContext::make(options).error().detail.starts_with("cert: it holds no certificate"));
  options.certificate = {own_pair().certificate_pem, "no key"};
  CHECK(ClientContext::make(options).error().detail.starts_with("key: it holds no private key"));
  CHECK_FALSE(TrustStore::make("no certificate").ok());
  CHECK_FALSE(TrustStore::make(own_pair().certificate_pem + "-----BEGIN CERTIFICATE-----\nx\n").ok());
}

TEST_CASE("a certificate says when it holds") {
  const std::string& pem = own_pair().certificate_pem;
  const auto now = std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now());
  CHECK(describe_validity(pem, now).empty());
  CHECK(describe_validity(pem, now + std::chrono::hours(72)).starts_with("it expired on 2"));
  CHECK(describe_validity(pem, now - std::chrono::hours(72)).starts_with("it is valid from 2"));
  CHECK(describe_validity("no certificate", now).empty());
}

TEST_CASE("addresses are told from names") {
  for (const char* address : {"127.0.0.1", "::1", "2001:db8::1"}) CHECK(is_address(address));
  for (const char* name : {"", "a.test", "1.2.3", "[::1]", "127.0.0.1:80"}) CHECK_FALSE(is_address(name));
}
