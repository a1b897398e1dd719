// SPDX-License-Identifier: Apache-2.0
// Which fields are kept encrypted, and the three forms of each.
#include "config/encrypted_fields.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/secret_reference.h"

using namespace moongate::config;
using moongate::base::parse_json;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

/// The keyring is the process's: each test sets its own.
void use_keys(std::vector<std::string> keys, bool is_used = true) {
  Keyring::of_process().set({std::move(keys), is_used});
}

const std::string kOld = "edd1c9f0985e76a2";
const std::string kNew = "qeddd145sfvddff3";

EncryptedFields fields() {
  return EncryptedFields::from_json(
      R"({"basic-auth": {"conf": ["header"], "consumer": ["password"]},
          "deep": {"conf": ["a.b.c", "list", "map"], "metadata": ["token"]}})");
}

std::string encrypted(Kind kind, const std::string& json, const std::string& id = "1") {
  Value body = parse_json(json).take();
  fields().encrypt(kind, id, &body);
  return to_json(body);
}

}  // namespace

TEST_CASE("a consumer's fields are encrypted as APISIX does it, and come back") {
  use_keys({kOld});
  const std::string plain = R"({"plugins":{"basic-auth":{"username":"foo","password":"bar"}}})";
  const std::string made = encrypted(Kind::kConsumer, plain);
  CHECK(made == R"({"plugins":{"basic-auth":{"username":"foo","password":"77+NmbYqNfN+oLm0aX5akg=="}}})");
  Value body = parse_json(made).take();
  fields().decrypt(Kind::kConsumer, "foo", &body);
  CHECK(to_json(body) == plain);
}

TEST_CASE("routes, consumers and metadata have fields of their own") {
  use_keys({kOld});
  CHECK(encrypted(Kind::kRoute, R"({"plugins":{"basic-auth":{"password":"bar"}}})").find("bar") !=
        std::string::npos);
  CHECK(encrypted(Kind::kRoute, R"({"plugins":{"basic-auth":{"header":"bar"}}})").find("77+N") !=
        std::string::npos);
  CHECK(encrypted(Kind::kPluginMetadata, R"({"token":"bar"})", "deep").find("77+N") != std::string::npos);
  CHECK(encrypted(Kind::kSsl, R"({"cert":"bar","key":"bar","keys":["bar"]})") ==
        R"({"cert":"bar","key":"77+NmbYqNfN+oLm0aX5akg==","keys":["77+NmbYqNfN+oLm0aX5akg=="]})");
}

TEST_CASE("paths lead through mappings and lists to texts, lists and mappings of texts") {
  use_keys({kOld});
  const std::string one = "77+NmbYqNfN+oLm0aX5akg==";
  CHECK(encrypted(
            Kind::kRoute,
            R"({"plugins":{"deep":{"a":{"b":[{"c":"bar"},{"c":7}]},"list":["bar",1],"map":{"x":"bar"}}}})") ==
        R"({"plugins":{"deep":{"a":{"b":[{"c":")" + one + R"("},{"c":7}]},"list":[")" + one +
            R"(",1],"map":{"x":")" + one + R"("}}}})");
}

TEST_CASE("references to what is kept elsewhere are not encrypted") {
  use_keys({kOld});
  const std::string written = R"({"plugins":{"basic-auth":{"password":"$env://PASSWORD"}}})";
  CHECK(encrypted(Kind::kConsumer, written) == written);
}

TEST_CASE("a mark is a reference to the text, under whichever key of the ring it was stored") {
  use_keys({kOld});
  Value body =
      parse_json(encrypted(Kind::kConsumer, R"({"plugins":{"basic-auth":{"password":"bar"}}})")).take();
  use_keys({kNew, kOld});
  fields().mark(Kind::kConsumer, "1", &body);
  CHECK(to_json(body).find("$aes://77+N") != std::string::npos);
  Value resolved = body;
  CHECK_FALSE(resolve_references(resolved, [](const std::string&) { return std::optional<std::string>(); }));
  CHECK(to_json(resolved) == R"({"plugins":{"basic-auth":{"password":"bar"}}})");
  Value shown = body;
  unmark(&shown);
  CHECK(to_json(shown) == R"({"plugins":{"basic-auth":{"password":"77+NmbYqNfN+oLm0aX5akg=="}}})");
  reveal(body, &shown);
  CHECK(to_json(shown) == to_json(resolved));
  use_keys({kNew});
  const auto fault =
      resolve_references(body, [](const std::string&) { return std::optional<std::string>(); });
  REQUIRE(fault);
  CHECK(fault->what.find("data_encryption.keyring") != std::string::npos);
}

TEST_CASE("without a keyring, or with one that is not used, nothing is changed") {
  const std::string plain = R"({"plugins":{"basic-auth":{"password":"bar"}}})";
  use_keys({});
  CHECK(encrypted(Kind::kConsumer, plain) == plain);
  use_keys({kOld}, false);
  CHECK(encrypted(Kind::kConsumer, plain) == plain);
  use_keys({});
}

TEST_CASE("a key that only seems to fit gives way to the one a value was encrypted under") {
  constexpr int kTexts = 2000;  // one in 256 decrypts under another key to something of the right form
  std::vector<std::string> kept;
  use_keys({kOld});
  for (int i = 0; i < kTexts; i++)
    kept.push_back(Keyring::of_process().encrypt("text " + std::to_string(i)).value());
  use_keys({kNew, kOld});
  for (int i = 0; i < kTexts; i++)
    CHECK(Keyring::of_process().decrypt(kept[static_cast<size_t>(i)]) == "text " + std::to_string(i));
  use_keys({kNew});
  int found = 0;
  for (const std::string& text : kept) found += Keyring::of_process().decrypt(text).has_value() ? 1 : 0;
  CHECK(found == 0);
}
