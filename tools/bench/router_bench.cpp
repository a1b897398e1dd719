// SPDX-License-Identifier: Apache-2.0
// folder: router
// Times the router: nanoseconds a match for exact paths, prefixes, hosts and misses at 1 to 100,000 routes,
// and how long building takes, in all and for the longest slice. Run it alone on the machine; compare runs by
// their ratios.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "router/router_builder.h"

using namespace moongate;
using namespace moongate::router;

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr size_t kRequestCount = 1 << 16;
constexpr int kRounds = 5;
constexpr size_t kSliceBudget = 200;

enum class Kind { kExact, kPrefix, kHost, kMiss };
const char* const kKindNames[] = {"exact", "prefix", "host", "miss"};

double nanoseconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::nano>(SteadyClock::now() - start).count();
}

std::string make_path(size_t i) {
  return "/api/v" + std::to_string(i % 3 + 1) + "/service-" + std::to_string(i / 7) + "/resource-" +
         std::to_string(i % 7);
}
std::string make_host(size_t i) { return "tenant-" + std::to_string(i) + ".example.com"; }

RouteSpec make_route(Kind kind, size_t i) {
  RouteSpec spec;
  spec.id = std::to_string(i);
  spec.target = spec.order = static_cast<uint32_t>(i);
  spec.uris = {kind == Kind::kHost ? "/api/*" : make_path(i) + (kind == Kind::kExact ? "" : "/*")};
  if (kind == Kind::kHost) spec.hosts = {i % 10 == 9 ? "*." + make_host(i) : make_host(i)};
  return spec;
}

/// A request's texts, as views into one block: in a real worker they are in the cache already.
struct Asked {
  std::string_view path, host;
};

std::pair<std::string, std::string> make_request(Kind kind, size_t i) {
  switch (kind) {
    case Kind::kExact:
      return {make_path(i), "www.example.com"};
    case Kind::kPrefix:
      return {make_path(i) + "/items/42", "www.example.com"};
    case Kind::kHost:
      return {"/api/items/42", (i % 10 == 9 ? "www." : "") + make_host(i)};
    case Kind::kMiss:
      return {"/api/v1/service-" + std::to_string(i / 7) + "/other/items/42", "www.example.com"};
  }
  return {};
}

struct Build {
  std::unique_ptr<const Router> router;
  double total_ms = 0;
  double longest_slice_ms = 0;
};

Build build(Kind kind, size_t count) {
  std::vector<std::shared_ptr<const RouteSpec>> specs;
  for (size_t i = 0; i < count; i++) specs.push_back(std::make_shared<const RouteSpec>(make_route(kind, i)));
  Build result;
  Router::Builder builder(Router::Mode::kHostUri);
  auto start = SteadyClock::now();
  for (auto& spec : specs) {
    if (!builder.add(spec)) std::abort();
  }
  for (bool is_done = false; !is_done;) {
    auto slice = SteadyClock::now();
    is_done = builder.step(kSliceBudget);
    result.longest_slice_ms = std::max(result.longest_slice_ms, nanoseconds_since(slice) / 1e6);
  }
  result.router = builder.finish();
  result.total_ms = nanoseconds_since(start) / 1e6;
  return result;
}

/// The best of some rounds over requests in random order.
double time_match(const Router& router, Kind kind, size_t count) {
  std::mt19937_64 random(count);
  std::vector<Asked> asked;
  std::string texts;
  texts.reserve(kRequestCount * 128);
  for (size_t i = 0; i < kRequestCount; i++) {
    auto [path, host] = make_request(kind, random() % count);
    texts.append(path).append(host);
    std::string_view end = texts;
    asked.push_back({end.substr(end.size() - path.size() - host.size(), path.size()),
                     end.substr(end.size() - host.size())});
  }
  double best = 1e18;
  Match match;
  for (int round = 0; round < kRounds; round++) {
    size_t found = 0;
    auto start = SteadyClock::now();
    for (const Asked& one : asked) {
      Request request{one.path, one.host, 0, http::Method::kGet, "GET", nullptr, nullptr, nullptr};
      found += router.match(request, &match);
    }
    best = std::min(best, nanoseconds_since(start) / kRequestCount);
    if (found != (kind == Kind::kMiss ? 0 : kRequestCount)) std::abort();
  }
  return best;
}

}  // namespace

int main() {
  std::printf("%8s %8s %12s %10s %16s\n", "routes", "kind", "ns/match", "build ms", "longest slice ms");
  for (size_t count : {1, 100, 1000, 10000, 100000}) {
    for (Kind kind : {Kind::kExact, Kind::kPrefix, Kind::kHost, Kind::kMiss}) {
      Build built = build(kind, count);
      double match_ns = time_match(*built.router, kind, count);
      std::printf("%8zu %8s %12.1f %10.2f %16.3f\n", count, kKindNames[static_cast<int>(kind)], match_ns,
                  built.total_ms, built.longest_slice_ms);
    }
  }
  return 0;
}
