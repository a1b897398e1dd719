// SPDX-License-Identifier: Apache-2.0
// The field list and the lookup of known names.
#include "http/fields.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate;
using http::Field;
using http::FieldId;
using http::FieldList;

TEST_CASE("every known field name is found in any case, and only whole") {
  const std::pair<const char*, FieldId> names[] = {{"Accept", FieldId::kAccept},
                                                   {"Accept-Encoding", FieldId::kAcceptEncoding},
                                                   {"Alt-Svc", FieldId::kAltSvc},
                                                   {"Authorization", FieldId::kAuthorization},
                                                   {"Cache-Control", FieldId::kCacheControl},
                                                   {"Connection", FieldId::kConnection},
                                                   {"Content-Encoding", FieldId::kContentEncoding},
                                                   {"Content-Length", FieldId::kContentLength},
                                                   {"Content-Type", FieldId::kContentType},
                                                   {"Cookie", FieldId::kCookie},
                                                   {"Date", FieldId::kDate},
                                                   {"ETag", FieldId::kETag},
                                                   {"Expect", FieldId::kExpect},
                                                   {"Forwarded", FieldId::kForwarded},
                                                   {"Host", FieldId::kHost},
                                                   {"Keep-Alive", FieldId::kKeepAlive},
                                                   {"Last-Modified", FieldId::kLastModified},
                                                   {"Location", FieldId::kLocation},
                                                   {"Origin", FieldId::kOrigin},
                                                   {"Proxy-Authenticate", FieldId::kProxyAuthenticate},
                                                   {"Proxy-Authorization", FieldId::kProxyAuthorization},
                                                   {"Proxy-Connection", FieldId::kProxyConnection},
                                                   {"Referer", FieldId::kReferer},
                                                   {"Retry-After", FieldId::kRetryAfter},
                                                   {"Server", FieldId::kServer},
                                                   {"Set-Cookie", FieldId::kSetCookie},
                                                   {"TE", FieldId::kTe},
                                                   {"Trailer", FieldId::kTrailer},
                                                   {"Transfer-Encoding", FieldId::kTransferEncoding},
                                                   {"Upgrade", FieldId::kUpgrade},
                                                   {"User-Agent", FieldId::kUserAgent},
                                                   {"Vary", FieldId::kVary},
                                                   {"Via", FieldId::kVia},
                                                   {"X-Forwarded-For", FieldId::kXForwardedFor},
                                                   {"X-Forwarded-Host", FieldId::kXForwardedHost},
                                                   {"X-Forwarded-Port", FieldId::kXForwardedPort},
                                                   {"X-Forwarded-Proto", FieldId::kXForwardedProto},
                                                   {"X-Real-IP", FieldId::kXRealIp}};
  CHECK(std::size(names) == static_cast<size_t>(FieldId::kCount) - 1);
  for (const auto& [name, id] : names) {
    std::string text = name;
    CHECK(http::find_field_id(text) == id);
    for (char& c : text) c = static_cast<char>(toupper(c));
    CHECK(http::find_field_id(text) == id);
    CHECK(http::find_field_id(text + "x") == FieldId::kOther);
    CHECK(http::find_field_id(text.substr(1)) == FieldId::kOther);
    for (char& c : text) {
      if (c == '-') c = '_';
    }
    if (text.find('_') != std::string::npos) CHECK(http::find_field_id(text) == FieldId::kOther);
    text[0] = static_cast<char>(text[0] ^ 0x80);
    CHECK(http::find_field_id(text) == FieldId::kOther);
  }
  CHECK(http::find_field_id("") == FieldId::kOther);
  CHECK(http::find_field_id("x") == FieldId::kOther);
  CHECK(http::find_field_id("alt\rsvc") == FieldId::kOther);
  CHECK(http::find_field_id("content\rlength") == FieldId::kOther);
}

TEST_CASE("equality ignores the case of letters and of nothing else") {
  CHECK(http::equals_ignoring_case("", ""));
  CHECK_FALSE(http::equals_ignoring_case("a", "ab"));
  // Every pair of bytes, in a short text and at each end of a long one.
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const bool is_same = a == b || (isalpha(a) && isalpha(b) && tolower(a) == tolower(b));
      std::string left(17, 'x');
      std::string right(17, 'X');
      left[16] = left[3] = static_cast<char>(a);
      right[16] = right[3] = static_cast<char>(b);
      if (http::equals_ignoring_case(left, right) != is_same) FAIL("bytes " << a << " and " << b);
      if (http::equals_ignoring_case(left.substr(0, 5), right.substr(0, 5)) != is_same)
        FAIL(a << " and " << b);
    }
  }
}

TEST_CASE("a list has a token as a whole element in any case") {
  CHECK(http::has_list_token("close", "close"));
  CHECK(http::has_list_token("keep-alive, Upgrade", "upgrade"));
  CHECK(http::has_list_token(" a ,\tCLOSE\t, b", "close"));
  CHECK_FALSE(http::has_list_token("closed", "close"));
  CHECK_FALSE(http::has_list_token("not close", "close"));
  CHECK_FALSE(http::has_list_token("", "close"));
  CHECK_FALSE(http::has_list_token(",,", "close"));
}

TEST_CASE("a list keeps order through growth, replacement and removal") {
  base::Arena arena;
  FieldList fields(&arena);
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("name-" + std::to_string(i));
  for (const std::string& name : names) fields.add(name, "v");
  REQUIRE(fields.count() == 100);
  for (uint32_t i = 0; i < 100; ++i) CHECK(fields[i].name == names[i]);

  fields.add("NAME-7", "second");
  fields.set("Name-7", "only");
  CHECK(fields.count() == 100);
  CHECK(fields[7].value == "only");
  fields.remove_at(0);
  CHECK(fields[0].name == "name-1");
  CHECK(fields.remove("name-50") == 1);
  CHECK(fields.find("name-50") == nullptr);
  CHECK(fields.remove("name-50") == 0);
  CHECK(fields.count() == 98);
  CHECK(fields[97].name == "name-99");
}

TEST_CASE("a field that nobody has looked for yet is found after another was removed") {
  base::Arena arena;
  FieldList fields(&arena);
  fields.add("A", "1");
  fields.add("B", "2");
  CHECK(fields.find("Not-There") == nullptr);
  fields.add("C", "3");
  fields.remove_at(0);
  REQUIRE(fields.find("C") != nullptr);
  fields.set("c", "4");
  CHECK(fields.count() == 2);
}

TEST_CASE("known names are found, replaced and removed by id and by text alike") {
  base::Arena arena;
  FieldList fields(&arena);
  fields.add("Set-Cookie", "a");
  fields.add("X-Other", "b");
  fields.add("set-cookie", "c");
  CHECK(fields.find(FieldId::kSetCookie)->value == "a");
  CHECK(fields.find("SET-COOKIE")->value == "a");
  CHECK(fields.find("x-other")->value == "b");
  CHECK(fields.find(FieldId::kHost) == nullptr);
  CHECK(fields.remove("SET-Cookie") == 2);
  CHECK(fields.count() == 1);
  fields.set("Host", "h");
  CHECK(fields.find(FieldId::kHost)->value == "h");
  CHECK(fields.remove(FieldId::kHost) == 1);
  fields.reset(&arena);
  CHECK(fields.count() == 0);
  CHECK(fields.begin() == fields.end());
}
