// SPDX-License-Identifier: Apache-2.0
// folder: http
// Nanoseconds to take in one head: scan, parse, and for requests the canonical target. The best of several
// rounds, since everything else on the machine can only add time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "http/head.h"
#include "http/uri.h"

namespace {

using namespace moongate;

constexpr std::string_view kBrowser =
    "GET /catalog/items/4711?color=red&size=xl HTTP/1.1\r\n"
    "Host: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://shop.example.com/catalog\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "Connection: keep-alive\r\n\r\n";

constexpr std::string_view kApiCall =
    "POST /api/v1/orders HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 512\r\n"
    "X-API-Key: 6f1d2a0c9b\r\n\r\n";

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\n"
    "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    "Server: nginx/1.22.1\r\n"
    "Content-Type: application/json; charset=utf-8\r\n"
    "Content-Length: 1024\r\n"
    "Cache-Control: no-cache\r\n"
    "ETag: \"5f3c-1a2b\"\r\n"
    "Connection: keep-alive\r\n\r\n";

bool take_request(std::string_view bytes, base::Arena* arena, bool with_target) {
  const http::HeadLimits limits;
  const http::ScanResult scan = http::scan_head(bytes, 0, limits);
  http::RequestHead head(arena);
  http::HeadFault fault;
  if (!http::parse_request_head(bytes.substr(0, scan.head_size), limits, &head, &fault)) return false;
  if (!with_target) return true;
  http::CanonicalUri uri;
  std::string_view reason;
  return http::canonicalize_target(head.target, http::UriPolicy{}, arena, &uri, &reason);
}

bool take_response(std::string_view bytes, base::Arena* arena) {
  const http::HeadLimits limits;
  const http::ScanResult scan = http::scan_head(bytes, 0, limits);
  http::ResponseHead head(arena);
  std::string_view reason;
  return http::parse_response_head(bytes.substr(0, scan.head_size), limits, http::Method::kGet, &head,
                                   &reason);
}

template <class Work>
void measure(const char* name, Work work) {
  constexpr int kRounds = 20;
  constexpr int kTurns = 50000;
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    int refused = 0;
    base::Arena arena;
    const auto start = std::chrono::steady_clock::now();
    for (int turn = 0; turn < kTurns; ++turn) {
      if (!work(&arena)) ++refused;
      arena.reset();
    }
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    if (refused > 0) std::printf("%s: %d refused\n", name, refused);
    best = std::min(best, spent.count() / kTurns);
  }
  std::printf("%-34s %7.1f ns\n", name, best);
}

}  // namespace

int main() {
  measure("browser request, 8 fields",
          [](base::Arena* arena) { return take_request(kBrowser, arena, false); });
  measure("  and its canonical target",
          [](base::Arena* arena) { return take_request(kBrowser, arena, true); });
  measure("API request, 4 fields", [](base::Arena* arena) { return take_request(kApiCall, arena, false); });
  measure("response, 7 fields", [](base::Arena* arena) { return take_response(kAnswer, arena); });
  return 0;
}
