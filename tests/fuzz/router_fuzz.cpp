// SPDX-License-Identifier: Apache-2.0
// folder: router
// Arbitrary bytes as patterns, hosts and requests: the router must find what the naive router of the unit
// tests finds.
//
// Input: lines. The first byte is the mode. "H text" gives the next route a host, "P text" the request's
// path, "Q text" the request's host; every other line is the pattern of a route.
#include <cstdint>
#include <string>
#include <string_view>

#include "../unit/router/naive_router.h"
#include "router/address_set.h"
#include "router/router_builder.h"

using namespace moongate;
using namespace moongate::router;

namespace {

constexpr size_t kRoutesMax = 40;
constexpr size_t kPathSizeMax = 48;  // the naive router takes exponential time
constexpr int kStarsMax = 4;

bool is_affordable(std::string_view pattern) {
  return pattern.size() <= 64 && std::count(pattern.begin(), pattern.end(), '*') <= kStarsMax;
}

struct Input {
  std::vector<std::shared_ptr<const RouteSpec>> specs;
  std::string path = "/";
  std::string host;

  void read_line(std::string_view line, std::vector<std::string>* hosts) {
    if (line.starts_with("H ")) {
      hosts->emplace_back(line.substr(2));
    } else if (line.starts_with("P ")) {
      path = line.substr(2, kPathSizeMax);
    } else if (line.starts_with("Q ")) {
      host = line.substr(2);
    } else if (specs.size() < kRoutesMax && is_affordable(line)) {
      auto spec = std::make_shared<RouteSpec>();
      spec->uris.emplace_back(line);
      spec->hosts.swap(*hosts);
      spec->priority = line.size() % 3 == 0 ? 1 : 0;
      spec->target = spec->order = static_cast<uint32_t>(specs.size());
      specs.push_back(std::move(spec));
    }
  }
};

void compare(const Input& input, Router::Mode mode) {
  Router::Builder builder(mode);
  std::vector<std::shared_ptr<const RouteSpec>> kept;
  for (const auto& spec : input.specs) {
    if (builder.add(spec)) kept.push_back(spec);
  }
  auto fast = builder.finish();
  NaiveRouter naive(mode, kept);
  Request request{input.path, input.host, 81, http::Method::kGet, "GET"};
  Match match;
  NaiveMatch expected;
  bool is_expected = naive.match(request, &expected);
  MG_ASSERT(fast->match(request, &match) == is_expected);
  if (!is_expected) return;
  MG_ASSERT(match.spec == expected.spec && match.pattern == expected.pattern);
  MG_ASSERT(match.host_pattern == expected.host_pattern);
  MG_ASSERT(match.capture_count == expected.captures.size());
  for (uint32_t i = 0; i < match.capture_count; i++) {
    MG_ASSERT(match.captures[i].name == expected.captures[i].first);
    MG_ASSERT(match.captures[i].value == expected.captures[i].second);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)AddressSet::parse(std::vector<std::string>{std::string(text)});
  auto mode = static_cast<Router::Mode>(data[0] % 3);
  Input input;
  std::vector<std::string> hosts;
  for (text.remove_prefix(1); !text.empty();) {
    size_t end = std::min(text.find('\n'), text.size());
    input.read_line(text.substr(0, end), &hosts);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  compare(input, mode);
  return 0;
}
