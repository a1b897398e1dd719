// SPDX-License-Identifier: Apache-2.0
#include "control/acme_wire.h"

#include <catch2/catch.hpp>

#include "base/base64.h"
#include "base/json.h"
#include "tls/private_key.h"

using namespace moongate;
using namespace moongate::control;
using namespace std::chrono_literals;

namespace {

base::Value part(const base::Value& jws, const char* name) {
  const std::string text(jws.get_string(name));
  std::string bytes(text.size(), '\0');
  const auto size = base::decode_base64(text, base::Base64Alphabet::kUrl, bytes.data());
  REQUIRE(size);
  bytes.resize(*size);
  auto value = base::parse_json(bytes);
  REQUIRE(value);
  return value.take();
}

std::string new_key() { return tls::make_key(tls::KeyType::kEcdsa).take(); }

}  // namespace

TEST_CASE("a signed request names its URL and nonce, and who signs: the key at first, then the account") {
  const std::string key = new_key();
  for (const std::string& account : {std::string(), std::string("https://ca.test/acct/1")}) {
    const auto body = sign_acme({key, account}, "no\"nce", "https://ca.test/new", R"({"a":1})");
    REQUIRE(body);
    const auto jws = base::parse_json(*body);
    REQUIRE(jws);
    const base::Value header = part(*jws, "protected");
    CHECK(header.get_string("alg") == "ES256");
    CHECK(header.get_string("nonce") == "no\"nce");
    CHECK(header.get_string("url") == "https://ca.test/new");
    CHECK(header.get_string("kid") == account);
    CHECK((header.find("jwk") != nullptr) == account.empty());
    CHECK(part(*jws, "payload").get_number("a", 0) == 1);
    CHECK(jws->get_string("signature").size() == 86);
  }
  CHECK_FALSE(sign_acme({"none", ""}, "n", "https://ca.test/new", "{}"));
}

TEST_CASE("an account that belongs to another is bound by an HMAC over its key") {
  const std::string key = new_key();
  const auto bound = bind_external_account(key, "kid-1", "c2VjcmV0", "https://ca.test/new-account");
  REQUIRE(bound);
  const base::Value header = part(*bound, "protected");
  CHECK(header.get_string("alg") == "HS256");
  CHECK(header.get_string("kid") == "kid-1");
  CHECK(part(*bound, "payload").get_string("kty") == "EC");
  CHECK(bound->get_string("signature").size() == 43);
  const auto other = bind_external_account(key, "kid-1", "c2VjcmV1", "https://ca.test/new-account");
  CHECK(other->get_string("signature") != bound->get_string("signature"));
  CHECK_FALSE(bind_external_account(key, "kid-1", "%%", "https://ca.test/new-account"));
}

TEST_CASE("what is found under a token is the token and the key's thumbprint") {
  const std::string key = new_key();
  const auto answer = key_authorization(key, "token");
  REQUIRE(answer);
  CHECK(answer->starts_with("token."));
  CHECK(answer->size() == 6 + 43);
  CHECK(*key_authorization(key, "token") == *answer);
  CHECK(*key_authorization(new_key(), "token") != *answer);
}

TEST_CASE("tokens are letters, digits, - and _") {
  CHECK(is_acme_token("aZ09-_"));
  CHECK(is_acme_token(std::string(128, 'a')));
  for (const std::string& bad : {std::string(), std::string("a/b"), std::string("a b"), std::string("a\n"),
                                 std::string("a."), std::string("%61"), std::string(129, 'a')})
    CHECK_FALSE(is_acme_token(bad));
}

TEST_CASE("a directory without what is needed is none, and says where to look") {
  const auto directory = parse_acme_directory(
      R"({"newNonce":"https://a/n","newAccount":"https://a/a","newOrder":"https://a/o","meta":{"externalAccountRequired":true}})");
  REQUIRE(directory);
  CHECK(directory->new_order == "https://a/o");
  CHECK(directory->needs_external_account);
  for (const char* bad : {"", "[]", "{}", "<html>", R"({"newNonce":"https://a/n"})"}) {
    const auto refused = parse_acme_directory(bad);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().detail.find("moongate.acme.directory") != std::string::npos);
  }
}

TEST_CASE(
    "a problem has its type without the prefix and its detail on one line, with the first of its parts") {
  const AcmeProblem problem = parse_acme_problem(
      400,
      R"({"type":"urn:ietf:params:acme:error:badNonce","detail":"a\nb","subproblems":[{"detail":"c"}]})");
  CHECK(problem.text() == "badNonce: a b (c)");
  CHECK(parse_acme_problem(502, "<html>").text() == "about:blank: it answers 502");
  CHECK(parse_acme_problem(400, R"({"detail":")" + std::string(5000, 'x') + "\"}").detail.size() == 500);
}

TEST_CASE("orders and authorizations are read, and what is out of form is refused") {
  const auto order = parse_acme_order(
      R"({"status":"pending","authorizations":["https://a/1","https://a/2"],"finalize":"https://a/f"})");
  REQUIRE(order);
  CHECK(order->authorizations.size() == 2);
  CHECK(order->certificate.empty());
  for (const char* bad : {"", "{}", R"({"status":"pending","finalize":"f","authorizations":1})"})
    CHECK_FALSE(parse_acme_order(bad));
  std::string many = R"({"status":"pending","finalize":"f","authorizations":["a")";
  for (int i = 0; i < 100; i++) many += ",\"a\"";
  CHECK_FALSE(parse_acme_order(many + "]}"));
  const auto authorization = parse_acme_authorization(
      R"({"status":"invalid","identifier":{"type":"dns","value":"a.test"},"challenges":[{"type":"dns-01","token":"x","url":"u"},
          {"type":"http-01","token":"t","url":"https://a/c","error":{"type":"urn:ietf:params:acme:error:dns","detail":"gone"}}]})");
  REQUIRE(authorization);
  CHECK(authorization->name == "a.test");
  CHECK(authorization->token == "t");
  CHECK(authorization->error == "dns: gone");
  for (const char* bad : {"", "{}", R"({"status":"valid"})"}) CHECK_FALSE(parse_acme_authorization(bad));
}

TEST_CASE("Retry-After is seconds or a date") {
  const base::WallTime now{std::chrono::seconds(1'000'000'000)};  // Sun, 09 Sep 2001 01:46:40 GMT
  CHECK(parse_retry_after("120", now) == base::Duration(120s));
  CHECK(parse_retry_after("Sun, 09 Sep 2001 01:47:40 GMT", now) == base::Duration(60s));
  CHECK(parse_retry_after("Sun, 09 Sep 2001 01:45:40 GMT", now) == base::Duration(0));
  for (const char* bad : {"", "-1", "soon", "1.5", "99999999999999"})
    CHECK_FALSE(parse_retry_after(bad, now));
}
