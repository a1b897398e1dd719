// SPDX-License-Identifier: Apache-2.0
// Host and port.
#include <catch2/catch.hpp>
#include <cctype>
#include <string>

#include "http/head.h"

using namespace moongate;

TEST_CASE("a host is split into a lower-case name and a port") {
  struct Row {
    const char* text;
    const char* host;
    uint16_t port;
  };
  const Row rows[] = {{"example.com", "example.com", 0},
                      {"EXAMPLE.Com:8080", "example.com", 8080},
                      {"example.com.", "example.com", 0},
                      {"example.com.:1", "example.com", 1},
                      {"my_service-1", "my_service-1", 0},
                      {"127.0.0.1:65535", "127.0.0.1", 65535},
                      {"[::1]", "[::1]", 0},
                      {"[0:0:0:0:0:0:0:1]:80", "[::1]", 80},
                      {"[2001:DB8::A]", "[2001:db8::a]", 0}};
  for (const Row& row : rows) {
    base::Arena arena;
    http::HostParts parts;
    INFO(row.text);
    REQUIRE(http::split_host(row.text, &parts));
    CHECK(http::is_host(row.text));
    CHECK(http::spell_host(parts, &arena) == row.host);
    CHECK(parts.port == row.port);
  }
}

TEST_CASE("every byte at every place of a name is judged alike") {
  const auto may_stand = [](unsigned char c, size_t at, size_t size) {
    if (c == '.') return at != 0 && size > 1;  // one at the end is taken off
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  };
  for (size_t size = 1; size <= 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (unsigned c = 0; c < 256; ++c) {
        if (c == ':' || (c == '[' && at == 0)) continue;  // begin something else
        std::string text(size, 'a');
        text[at] = static_cast<char>(c);
        http::HostParts parts;
        const bool is_host = http::split_host(text, &parts);
        if (is_host != may_stand(static_cast<unsigned char>(c), at, size) ||
            (is_host && parts.is_lower_case == (c >= 'A' && c <= 'Z'))) {
          FAIL_CHECK("byte " << c << " at " << at << " of " << size);
        }
      }
    }
    for (size_t at = 1; at + 2 < size; ++at) {
      std::string text(size, 'a');
      text[at] = text[at + 1] = '.';
      CHECK_FALSE(http::is_host(text));
      text[at] = text[at + 2] = '.';
      text[at + 1] = 'a';
      CHECK(http::is_host(text));
    }
  }
}

TEST_CASE("anything that is not exactly a host is refused") {
  const std::string long_name = std::string(254, 'a');
  const std::string_view texts[] = {"",
                                    ".",
                                    "..",
                                    "a..b",
                                    ".a",
                                    "a:",
                                    "a:0",
                                    "a:080",
                                    "a:65536",
                                    "a:123456",
                                    "a:+1",
                                    "a:1 ",
                                    " a",
                                    "a b",
                                    "a/b",
                                    "u@a",
                                    "a,b",
                                    "a%41",
                                    "a\\b",
                                    "a;b",
                                    "a?b",
                                    "a#b",
                                    "\xc3\xa9",
                                    "a:1:2",
                                    "::1",
                                    "[::1",
                                    "[::1]x",
                                    "[::1]:",
                                    "[]",
                                    "[::1%25eth0]",
                                    "[1.2.3.4]",
                                    "[:::]",
                                    "[v1.x]",
                                    "[::1]]",
                                    "a]",
                                    std::string_view("a\0b", 3),
                                    std::string_view("[::1\0]", 6),
                                    long_name};
  for (const std::string_view text : texts) {
    http::HostParts parts;
    INFO(text);
    CHECK_FALSE(http::split_host(text, &parts));
    CHECK_FALSE(http::is_host(text));
  }
}

TEST_CASE("only an absolute target has an authority") {
  CHECK(http::absolute_authority("http://a.example/b") == "a.example");
  CHECK(http::absolute_authority("HTTPS://a.example:1?b/c") == "a.example:1");
  CHECK(http::absolute_authority("http://a.example") == "a.example");
  for (const char* target :
       {"/a", "*", "http://", "http:///a", "https://", "https:///", "http:/a", "ftp://a/", "a.example:443"}) {
    CHECK(http::absolute_authority(target).empty());
  }
}
