// SPDX-License-Identifier: Apache-2.0
// Methods and status codes.
#include <catch2/catch.hpp>
#include <string>

#include "http/head.h"

using namespace moongate;
using http::Method;

TEST_CASE("a method is found by its exact spelling") {
  for (uint8_t i = 1; i < static_cast<uint8_t>(Method::kCount); ++i) {
    const auto method = static_cast<Method>(i);
    std::string name(http::method_name(method));
    CHECK(http::find_method(name) == method);
    CHECK(http::find_method(name + "X") == Method::kOther);
    name[0] = static_cast<char>(name[0] | 0x20);
    CHECK(http::find_method(name) == Method::kOther);
  }
  CHECK(http::find_method("") == Method::kOther);
  CHECK(http::find_method("BREW") == Method::kOther);
}

TEST_CASE("only methods that RFC 9110 calls idempotent are repeated") {
  for (const Method method :
       {Method::kGet, Method::kHead, Method::kPut, Method::kDelete, Method::kOptions, Method::kTrace}) {
    CHECK(http::is_idempotent(method));
  }
  for (const Method method :
       {Method::kPost, Method::kPatch, Method::kConnect, Method::kPurge, Method::kOther}) {
    CHECK_FALSE(http::is_idempotent(method));
  }
}

TEST_CASE("status codes have their registered phrases") {
  CHECK(http::status_reason(200) == "OK");
  CHECK(http::status_reason(404) == "Not Found");
  CHECK(http::status_reason(503) == "Service Unavailable");
  CHECK(http::status_reason(799) == "Unknown");
}

TEST_CASE("field names are tokens and field values have no controls but tab") {
  CHECK(http::is_field_name("X-Forwarded-For"));
  CHECK(http::is_field_name("a-name_longer-than-16~bytes!"));
  for (const char* name :
       {"", "a b", "a:", "\xc3\xa9", "a\x7f", "a(b)", "a-long-name-of-some-length:", "\"q\""}) {
    CHECK_FALSE(http::is_field_name(name));
  }
  CHECK(http::is_field_value(""));
  CHECK(http::is_field_value("tab\tand \xc3\xa9 are fine, however long the value is"));
  for (int c = 0; c < 256; ++c) {
    const bool is_fine = c == '\t' || (c >= 0x20 && c != 0x7F);
    for (const size_t at : {0, 3, 15, 16, 30}) {
      std::string value(31, 'v');
      value[at] = static_cast<char>(c);
      if (http::is_field_value(value) != is_fine) FAIL("byte " << c << " at " << at);
    }
  }
}
