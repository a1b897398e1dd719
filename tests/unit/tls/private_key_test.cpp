// SPDX-License-Identifier: Apache-2.0
// Keys of our own and what is signed with them, with whatever library makes them; what is signed is verified
// by signature.h, which is written apart.
#include "tls/private_key.h"

#include <catch2/catch.hpp>

#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "tls/certificate.h"
#include "tls/issued.h"
#include "tls/signature.h"

using namespace moongate;
using namespace moongate::tls;

namespace {

std::string pem_of_public(const std::string& key_pem) {
  const auto info = public_key_info(key_pem);
  REQUIRE(info);
  return "-----BEGIN PUBLIC KEY-----\n" + base::to_base64(*info) + "\n-----END PUBLIC KEY-----\n";
}

std::string wrapped(const std::string& pem) {  // some readers take lines of 64 characters only
  const size_t begin = pem.find('\n') + 1;
  const size_t end = pem.find("\n-----END");
  std::string out = pem.substr(0, begin);
  for (size_t at = begin; at < end; at += 64) out += pem.substr(at, std::min<size_t>(64, end - at)) + "\n";
  return out + pem.substr(end + 1);
}

/// The end of a DER value and what is in it, from its tag on.
std::string_view content_of(std::string_view der, size_t* size) {
  size_t length = static_cast<unsigned char>(der[1]);
  size_t head = 2;
  if (length > 0x80) {
    const size_t digits = length - 0x80;
    length = 0;
    for (size_t i = 0; i < digits; i++) length = length << 8U | static_cast<unsigned char>(der[2 + i]);
    head += digits;
  }
  *size = head + length;
  REQUIRE(*size <= der.size());
  return der.substr(head, length);
}

}  // namespace

TEST_CASE("what a key of ours signs under ES256 its public half verifies, and nothing else") {
  const auto key = make_key(KeyType::kEcdsa);
  REQUIRE(key);
  CHECK(holds_key(*key));
  const std::string shown = wrapped(pem_of_public(*key));
  // Numbers of a signature are short now and then, and have to be filled up.
  for (int i = 0; i < 600; i++) {
    const std::string data = "data " + std::to_string(i);
    const auto signature = sign_es256(*key, data);
    REQUIRE(signature);
    REQUIRE(signature->size() == 64);
    const auto verdict = verify_signature("ES256", shown, data, *signature);
    REQUIRE(verdict);
    REQUIRE(*verdict);
    if (i == 0) CHECK_FALSE(*verify_signature("ES256", shown, data + "x", *signature));
  }
}

TEST_CASE("two keys are two") { CHECK(*make_key(KeyType::kEcdsa) != *make_key(KeyType::kEcdsa)); }

TEST_CASE("a JWK has the coordinates of the public key, its members in order") {
  const auto key = make_key(KeyType::kEcdsa);
  const auto jwk = public_jwk(*key);
  REQUIRE(jwk);
  CHECK(jwk->starts_with(R"({"crv":"P-256","kty":"EC","x":")"));
  const auto value = base::parse_json(*jwk);
  REQUIRE(value);
  const std::string info = *public_key_info(*key);
  std::string point;
  for (const char* name : {"x", "y"}) {
    const std::string text(value->get_string(name));
    CHECK(text.size() == 43);
    std::string bytes(text.size(), '\0');
    bytes.resize(base::decode_base64(text, base::Base64Alphabet::kUrl, bytes.data()).value());
    point += bytes;
  }
  CHECK(base::to_hex(point) == base::to_hex(info.substr(info.size() - 64)));
}

TEST_CASE("a request for a certificate has all names and is signed with its own key, of both kinds") {
  for (const KeyType type : {KeyType::kEcdsa, KeyType::kRsa}) {
    const auto key = make_key(type);
    REQUIRE(key);
    const auto request = make_certificate_request(*key, {"a.test", "www.a.test"});
    REQUIRE(request);
    size_t size = 0;
    std::string_view rest = content_of(*request, &size);
    CHECK(size == request->size());
    const std::string_view inner = content_of(rest, &size);
    const std::string_view signed_part = rest.substr(0, size);
    CHECK(inner.find(*public_key_info(*key)) != inner.npos);
    CHECK(inner.find(std::string("\x82\x06") + "a.test") != inner.npos);
    CHECK(inner.find(std::string("\x82\x0a") + "www.a.test") != inner.npos);
    rest.remove_prefix(size);
    content_of(rest, &size);  // the algorithm
    rest.remove_prefix(size);
    const std::string_view bits = content_of(rest, &size);
    CHECK(size == rest.size());
    CHECK(bits[0] == '\0');
    if (type != KeyType::kRsa) continue;
    const auto verdict = verify_signature("RS256", wrapped(pem_of_public(*key)), signed_part, bits.substr(1));
    REQUIRE(verdict);
    CHECK(*verdict);
  }
}

TEST_CASE("what is no key is refused, and RSA where ES256 is wanted") {
  CHECK_FALSE(sign_es256("none", "data"));
  CHECK_FALSE(public_jwk("none"));
  CHECK_FALSE(make_certificate_request("none", {"a.test"}));
  const auto rsa = make_key(KeyType::kRsa);
  REQUIRE(rsa);
  CHECK_FALSE(sign_es256(*rsa, "data"));
  CHECK_FALSE(public_jwk(*rsa));
}

TEST_CASE(
    "issued certificates that are packed are found by each of their names, the next ones in their place") {
  Issued issued;
  const uint64_t before = issued.generation();
  REQUIRE(issued.replace(
      Issued::pack({{{"a.test", "b.test"}, {"cert 1", "key 1"}}, {{"c.test"}, {"cert 2", "key 2"}}})));
  CHECK(issued.generation() != before);
  REQUIRE(issued.find("a.test"));
  CHECK(issued.find("a.test") == issued.find("b.test"));
  CHECK(issued.find("c.test")->key_pem == "key 2");
  CHECK(issued.find("d.test") == nullptr);
  CHECK_FALSE(issued.replace("nonsense"));
  CHECK(issued.find("a.test"));
  REQUIRE(issued.replace(Issued::pack({})));
  CHECK(issued.find("a.test") == nullptr);
}

TEST_CASE("a name that awaits its certificate has a context without one, and hides the wildcard's") {
  ServerOptions options;
  options.id = "1";
  const auto awaited = AwaitedContext::make(options);
  REQUIRE(awaited);
  const auto plain = ServerContext::make(options);
  ServerNames names;
  CHECK(names.add("*", *plain));
  CHECK(names.add_awaited("a.test", *awaited));
  CHECK_FALSE(names.add("a.test", *plain));
  REQUIRE(names.find("A.test."));
  CHECK(names.find("A.test.") != *plain);
  CHECK_FALSE(names.find("a.test")->has_certificate());
  CHECK(names.find("b.test") == *plain);
}
