// SPDX-License-Identifier: Apache-2.0
// Where a head ends.
#include <catch2/catch.hpp>
#include <string>

#include "http/head.h"

using namespace moongate;
using http::ScanStatus;

TEST_CASE("the end of a head is found wherever it lies") {
  for (const std::string line_end : {"\r\n", "\n"}) {
    for (size_t length = 0; length < 70; ++length) {
      const std::string head = std::string(length, 'x') + line_end + line_end;
      const http::ScanResult scan = http::scan_head(head + "body", 0, {});
      CHECK(scan.status == ScanStatus::kComplete);
      CHECK(scan.head_size == head.size());
    }
  }
}

TEST_CASE("lines of any length before it do not hide the end of a head, nor do bytes behind it make one") {
  for (const std::string end : {"\r\n\r\n", "\n\n", "\n\r\n"}) {
    for (size_t first = 0; first < 80; ++first) {
      for (size_t second = 1; second < 80; ++second) {
        const std::string head = std::string(first, 'x') + "\r\n" + std::string(second, 'y') + end;
        const http::ScanResult scan = http::scan_head(head + "\n\n", 0, {});
        if (scan.status != ScanStatus::kComplete || scan.head_size != head.size())
          FAIL_CHECK("lines of " << first << " and " << second << " bytes: " << scan.head_size);
        const std::string_view unfinished(head.data(), head.size() - 1);
        if (http::scan_head(unfinished, 0, {}).status != ScanStatus::kIncomplete)
          FAIL_CHECK("lines of " << first << " and " << second << " bytes end too early");
      }
    }
  }
}

TEST_CASE("what only looks like an empty line does not end a head") {
  for (const char* bytes : {"a\r\n", "a\r\n\r", "a\r\r\r\r", "a\n\rb\n\rc", "\r\na: b\r\n \r\n"}) {
    CHECK(http::scan_head(bytes, 0, {}).status == ScanStatus::kIncomplete);
  }
}

TEST_CASE("a head that arrives byte by byte is found as soon as it is whole") {
  const std::string head = "GET / HTTP/1.1\r\nHost: a.example\r\nA-Rather-Long-Header: value\r\n\r\n";
  size_t from = 0;
  for (size_t size = 0; size < head.size(); ++size) {
    const http::ScanResult scan = http::scan_head(std::string_view(head).substr(0, size), from, {});
    REQUIRE(scan.status == ScanStatus::kIncomplete);
    REQUIRE(scan.resume_at <= size);
    from = scan.resume_at;
  }
  CHECK(http::scan_head(head, from, {}).head_size == head.size());
}

TEST_CASE("a head of the limit's size passes and one byte more does not") {
  http::HeadLimits limits;
  limits.head_size_max_bytes = 100;
  const std::string fits = std::string(96, 'x') + "\r\n\r\n";
  CHECK(http::scan_head(fits + "rest", 0, limits).status == ScanStatus::kComplete);
  CHECK(http::scan_head("x" + fits, 0, limits).status == ScanStatus::kTooLarge);
  CHECK(http::scan_head(std::string(99, 'x'), 0, limits).status == ScanStatus::kIncomplete);
  CHECK(http::scan_head(std::string(100, 'x'), 0, limits).status == ScanStatus::kTooLarge);
}
