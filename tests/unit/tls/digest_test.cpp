// SPDX-License-Identifier: Apache-2.0
// Digests by the examples of the standards (FIPS 180, RFC 1321, RFC 4231), with whatever library makes them.
#include "tls/digest.h"

#include <catch2/catch.hpp>

#include "base/hex.h"
#include "tls/signature.h"

using namespace moongate::tls;

namespace {

std::string hex_of(const char* bytes, size_t size) { return moongate::base::to_hex({bytes, size}); }

}  // namespace

TEST_CASE("the digests of abc are those of the standards, whole and in pieces") {
  for (const auto& [algorithm, wanted] :
       {std::pair("md5", "900150983cd24fb0d6963f7d28e17f72"),
        std::pair("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        std::pair("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        std::pair("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        std::pair("sha384",
                  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134"
                  "c825a7"),
        std::pair("sha512",
                  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f")}) {
    char out[kDigestMaxBytes];
    CHECK(hex_of(out, digest(algorithm, "abc", out)) == wanted);
    const auto state = DigestState::make(algorithm);
    REQUIRE(state != nullptr);
    for (int i = 0; i < 2; i++) {  // finish() starts over
      CHECK(state->update("a"));
      CHECK(state->update({}));
      CHECK(state->update("bc"));
      CHECK(hex_of(out, state->finish(out)) == wanted);
    }
  }
}

TEST_CASE("the digest of nothing is one, and an unknown algorithm has none") {
  char out[kDigestMaxBytes];
  CHECK(hex_of(out, digest("md5", {}, out)) == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(digest("sha3", "abc", out) == 0);
  CHECK(hmac("SHA256", "key", "abc", out) == 0);
  CHECK(DigestState::make("md4") == nullptr);
}

TEST_CASE("codes are those of the standard, and an empty key is a key") {
  char out[kDigestMaxBytes];
  CHECK(hex_of(out, hmac("sha256", "Jefe", "what do ya want for nothing?", out)) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(hex_of(out, hmac("sha256", {}, {}, out)) ==
        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST_CASE("texts are equal when all their bytes are") {
  CHECK(is_equal_constant_time("abc", "abc"));
  CHECK(is_equal_constant_time({}, {}));
  CHECK_FALSE(is_equal_constant_time("abc", "abd"));
  CHECK_FALSE(is_equal_constant_time("abc", "ab"));
}

TEST_CASE("what is no key for the algorithm is refused, whatever the signature") {
  CHECK(verify_signature("RS256", "no key", "data", "signature").error().detail.find("no public key") !=
        std::string::npos);
  CHECK(verify_signature("HS256", "no key", "data", "x").error().detail.find("unknown signature algorithm") !=
        std::string::npos);
  CHECK_FALSE(verify_signature("EdDSA", "no key", "data", "x").ok());
  CHECK(has_signature("PS384"));
  CHECK_FALSE(has_signature("HS256"));
}
