// SPDX-License-Identifier: Apache-2.0
// Texts under a key, against what APISIX and the openssl program make of them.
#include "tls/cipher.h"

#include <catch2/catch.hpp>

using moongate::tls::decrypt_text;
using moongate::tls::encrypt_text;

namespace {

constexpr std::string_view kKey = "edd1c9f0985e76a2";
constexpr std::string_view kLongKey = "qeddd145sfvddff3qeddd145sfvddff3";

}  // namespace

TEST_CASE("a text becomes what others make of it under the same key") {
  CHECK(encrypt_text(kKey, "bar") == "77+NmbYqNfN+oLm0aX5akg==");
  CHECK(encrypt_text(kKey, "foo") == "QjeqruSmeaWd+fl6jr1vjA==");
  CHECK(encrypt_text(kLongKey, "foo") == "wX/JQ9IicHIhHC301NTFhQ==");
}

TEST_CASE("texts of every length come back, whatever is in them") {
  std::string text;
  for (int size = 0; size < 70; size++) {
    const auto encrypted = encrypt_text(kKey, text);
    REQUIRE(encrypted);
    CHECK(decrypt_text(kKey, *encrypted) == text);
    text.push_back(static_cast<char>(size * 7));
  }
}

TEST_CASE("what was not made under the key is nothing") {
  for (const char* text : {"", "bar", "77+NmbYqNfN+oLm0aX5akg=", "77+NmbYqNfN+oLm0aX5ak!==",
                           "77+NmbYqNfN+oLm0aX5a", "QUJD", "====", "77+N=bYqNfN+oLm0aX5akg=="}) {
    INFO(text);
    CHECK_FALSE(decrypt_text(kKey, text));
  }
  CHECK_FALSE(decrypt_text("qeddd145sfvddff3", "77+NmbYqNfN+oLm0aX5akg=="));
}
