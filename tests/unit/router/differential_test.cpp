// SPDX-License-Identifier: Apache-2.0
// Compares the router with the naive one on random routes and requests, a million cases over sets of 1 to
// 10,000 routes, and a million more while routes come, change and go. A failure prints the seed and the size
// of its set: with both in MOONGATE_ROUTER_SEED and MOONGATE_ROUTER_ROUTES that set runs alone.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>
#include <sstream>

#include "fixtures.h"
#include "naive_router.h"
#include "router/router_patch.h"

using namespace moongate;
using namespace moongate::router;

namespace {

const char* const kHosts[] = {"a.com",        "b.com", "x.a.com", "y.x.a.com", "*.a.com",   "*.x.a.com",
                              "*a.com",       "*",     "*.com",   "A.COM",     "*.X.a.com", "a.com:8080",
                              "*.a.com:8080", "*:81",  "[::1]",   "[::1]:81",  "com",       "a.com:81"};
const char* const kRequestHosts[] = {"a.com", "b.com", "x.a.com", "y.x.a.com", "z.y.x.a.com", "xa.com",
                                     "com",   "",      ".a.com",  "[::1]",     "c.org"};
const char* const kNetworks[] = {"10.0.0.0/8", "10.1.0.0/16", "127.0.0.1", "::1", "2001:db8::/32"};
const char* const kAddresses[] = {"10.0.0.1", "10.1.2.3",    "127.0.0.1",
                                  "::1",      "2001:db8::5", "::ffff:10.1.0.9"};
const char* const kVars[] = {R"([["arg_v","==","1"]])", R"([["arg_v",">",2]])",
                             R"(["OR",["arg_v","==","3"],["arg_w","~=","x"]])",
                             R"(["!AND",["arg_v","in",["1","4"]],["arg_w","!","==",null]])"};
const char* const kWords[] = {"a", "b", "ab", "abc", "v1", "v2", "users", "x.y", "a:b", ":id", "(b)"};

// Sanitizers make everything ten times slower; their builds run a part of the sets.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kSetsPart = 8;
#else
constexpr size_t kSetsPart = 1;
#endif

class OddTargets : public FilterHook {
 public:
  bool accept(const RouteSpec&, uint32_t target) override { return target % 2 == 1; }
};

/// Random routes and requests that have a fair chance to meet.
class Generator {
 public:
  Generator(uint64_t seed, size_t route_count, int orders_max = 1 << 30)
      : random_(seed), words_max_(route_count > 200 ? 60 : 0), orders_max_(orders_max) {}

  bool chance(int percent) { return below(100) < percent; }
  int below(int count) { return static_cast<int>(random_() % static_cast<uint64_t>(count)); }
  template <class T, size_t kSize>
  const T& pick(const T (&items)[kSize]) {
    return items[below(kSize)];
  }

  std::string word() {
    int at = below(static_cast<int>(std::size(kWords)) + words_max_);
    return at < static_cast<int>(std::size(kWords)) ? kWords[at] : "s" + std::to_string(at);
  }

  std::string segment(int* stars) {
    int kind = below(100);
    if (kind < 10) return ":" + word();
    if (kind >= 26 || *stars == 0) return word();
    --*stars;
    if (kind < 15) return "*";
    if (kind < 19) return "*" + word();
    return kind < 23 ? word() + "*" : word() + "*" + word();
  }

  std::string pattern() {
    int stars = 3;
    std::string text;
    for (int i = below(4); i >= 0; i--) text += "/" + segment(&stars);
    if (chance(10)) text += "/";
    if (chance(25)) text += chance(50) ? "/*" : "*";
    return text;
  }

  std::shared_ptr<const RouteSpec> route(uint32_t index) {
    auto spec = std::make_shared<RouteSpec>();
    spec->id = std::to_string(index);
    spec->target = index;
    spec->order = static_cast<uint32_t>(below(orders_max_));
    do spec->uris.push_back(pattern());
    while (chance(25));
    if (chance(40)) do
        spec->hosts.push_back(pick(kHosts));
      while (chance(35));
    if (chance(30)) spec->priority = below(7) - 3;
    if (chance(20)) spec->methods = method_bit(http::Method::kGet) | method_bit(http::Method::kPut);
    if (chance(5)) spec->other_methods.push_back("PROPFIND");
    if (chance(10)) {
      std::string networks[] = {pick(kNetworks), pick(kNetworks)};
      spec->remote_addrs = AddressSet::parse(networks).take();
    }
    if (chance(12)) spec->vars = std::shared_ptr<const Expression>(compile_json(pick(kVars)).take());
    spec->has_filter = chance(5);
    return spec;
  }

  /// A path that `pattern` may match, bent a little now and then.
  std::string path(const std::string& pattern) {
    std::string text;
    for (size_t i = 0; i < pattern.size(); i++) {
      bool is_wild = pattern[i] == '*' || (pattern[i] == ':' && chance(70));
      if (!is_wild) {
        text += pattern[i];
        continue;
      }
      if (chance(85)) text += word();
      if (pattern[i] == '*' && chance(30)) text += "/" + word();
      while (chance(50) && i + 1 < pattern.size() && pattern[i + 1] != '/') i++;
    }
    if (chance(10)) text += "/" + word();
    if (chance(5) && text.size() > 1) text.pop_back();
    if (chance(5)) text[static_cast<size_t>(below(static_cast<int>(text.size())))] = 'a';
    return text;
  }

 private:
  std::mt19937_64 random_;
  int words_max_;
  int orders_max_;
};

std::string describe(const NaiveMatch& match) {
  std::ostringstream text;
  text << "route " << match.target << " pattern " << match.pattern << " host " << match.host_pattern;
  for (const auto& [name, value] : match.captures) text << " " << name << "=" << value;
  return text.str();
}

NaiveMatch copy(const Match& match) {
  NaiveMatch result{
      match.spec, match.target, std::string(match.pattern), std::string(match.host_pattern), {}};
  for (uint32_t i = 0; i < match.capture_count; i++) {
    result.captures.emplace_back(match.captures[i].name, match.captures[i].value);
  }
  return result;
}

struct Case {
  std::string path, host, method_text;
  Address remote;
  MapVariables variables;
  OddTargets filter;

  Case(Generator& generator, const RouteSpec& near) {
    path =
        generator.path(near.uris[static_cast<size_t>(generator.below(static_cast<int>(near.uris.size())))]);
    host = generator.pick(kRequestHosts);
    method_text = generator.chance(10) ? "PROPFIND" : generator.chance(70) ? "GET" : "POST";
    remote = parse_address(generator.pick(kAddresses)).take();
    if (generator.chance(70)) variables.texts["arg_v"] = std::to_string(generator.below(5));
    if (generator.chance(50)) variables.texts["arg_w"] = "x";
  }

  Request request(uint16_t port) {
    http::Method method = method_text == "GET"    ? http::Method::kGet
                          : method_text == "POST" ? http::Method::kPost
                                                  : http::Method::kOther;
    return {path, host, port, method, method_text, &remote, &variables, &filter};
  }
};

using Specs = std::vector<std::shared_ptr<const RouteSpec>>;

std::unique_ptr<const Router> build(Router::Mode mode, const Specs& specs, size_t budget) {
  Router::Builder builder(mode);
  for (const auto& spec : specs) REQUIRE(builder.add(spec).ok());
  while (!builder.step(budget)) {
  }
  return builder.finish();
}

/// Some requests; how many of them found a route.
size_t compare_requests(const Router& fast, const NaiveRouter& naive, const Specs& specs,
                        Generator& generator, size_t request_count, const std::string& about) {
  size_t found_count = 0;
  for (size_t i = 0; i < request_count; i++) {
    Case random(generator, *specs[static_cast<size_t>(generator.below(static_cast<int>(specs.size())))]);
    static const uint16_t kPorts[] = {0, 8080, 81};
    Request request = random.request(generator.pick(kPorts));
    Match match;
    NaiveMatch expected;
    bool is_expected = naive.match(request, &expected);
    bool is_found = fast.match(request, &match);
    found_count += is_found;
    // What explains a match must have made the same one.
    Match explained;
    std::vector<Trial> trials;
    REQUIRE(fast.explain(request, &explained, specs.size() * 4, &trials) == is_found);
    auto taken = std::find_if(trials.begin(), trials.end(),
                              [](const Trial& trial) { return trial.verdict == Verdict::kTaken; });
    REQUIRE((taken != trials.end()) == is_found);
    if (is_found) REQUIRE(taken->target == match.target);
    if (is_found) REQUIRE(taken->pattern == match.pattern);
    std::string want = is_expected ? describe(expected) : "none";
    std::string got = is_found ? describe(copy(match)) : "none";
    if (want == got) continue;
    FAIL(about << ", mode " << static_cast<int>(fast.mode()) << ": " << random.method_text << " "
               << random.host << ":" << request.port << " " << random.path << "\n  expected " << want
               << "\n  got      " << got);
  }
  return found_count;
}

/// One set of routes, `request_count` requests; how many of them found a route.
size_t compare(uint64_t seed, size_t route_count, size_t request_count) {
  Generator generator(seed, route_count);
  auto mode = static_cast<Router::Mode>(seed % 3);
  Specs specs;
  for (uint32_t i = 0; i < route_count; i++) specs.push_back(generator.route(i));
  auto fast = build(mode, specs, 1 + seed % 97);
  std::ostringstream about;
  about << "seed " << seed << ", " << route_count << " routes";
  return compare_requests(*fast, NaiveRouter(mode, specs), specs, generator, request_count, about.str());
}

/// Routes that come and go in front of a router and its naive twin.
class EditedRoutes {
 public:
  EditedRoutes(uint64_t seed, size_t route_count)
      : generator_(seed, route_count, 3), mode_(static_cast<Router::Mode>(seed % 3)) {
    for (uint32_t i = 0; i < route_count; i++) put(generator_.route(i));
    next_ = static_cast<uint32_t>(route_count);
    rebuild();
  }

  /// One to three routes become others, go or come; false when the router had to be built anew.
  bool edit(size_t budget) {
    Router::Patch patch(*router_);
    bool is_patched = Router::Patch::can_take(*router_, 3);
    Specs added;
    for (int left = 1 + generator_.below(3); left > 0; left--) {
      const size_t at = static_cast<size_t>(generator_.below(static_cast<int>(specs_.size())));
      const int kind = generator_.below(10);
      if (kind < 7 && specs_.size() > 2) {
        const auto old = specs_[at];
        if (std::find(added.begin(), added.end(), old) != added.end()) continue;
        specs_.erase(specs_.begin() + static_cast<std::ptrdiff_t>(at));
        patch.remove(old, old->target);
        if (kind < 4) added.push_back(generator_.route(old->target));
      } else {
        added.push_back(generator_.route(next_++));
      }
    }
    for (const auto& spec : added) {
      put(spec);
      REQUIRE(patch.add(spec, spec->target, spec->order).ok());
    }
    while (!patch.step(budget)) {
    }
    auto patched = patch.finish();
    is_patched = is_patched && patched != nullptr;
    if (is_patched)
      router_ = std::move(patched);
    else
      rebuild();
    return is_patched;
  }

  size_t compare_some(size_t request_count, const std::string& about) {
    REQUIRE(router_->route_count() == specs_.size());
    return compare_requests(*router_, NaiveRouter(mode_, specs_), specs_, generator_, request_count, about);
  }

  /// The same routes in the same order as one that was built at once has them.
  bool lists_as_a_new_one() const {
    const auto own = router_->list();
    const auto wanted = build(mode_, specs_, 1000)->list();
    return std::equal(own.begin(), own.end(), wanted.begin(), wanted.end(),
                      [](const auto& a, const auto& b) { return a.target == b.target && a.spec == b.spec; });
  }

 private:
  /// Routes are kept in the order in which a snapshot has them: by order, then by id.
  void put(std::shared_ptr<const RouteSpec> spec) {
    const auto is_before = [](const auto& a, const auto& b) {
      return std::tie(a->order, a->id) < std::tie(b->order, b->id);
    };
    specs_.insert(std::upper_bound(specs_.begin(), specs_.end(), spec, is_before), spec);
  }
  void rebuild() { router_ = build(mode_, specs_, 1000); }

  Generator generator_;
  Router::Mode mode_;
  Specs specs_;
  uint32_t next_ = 0;
  std::unique_ptr<const Router> router_;
};

struct Share {
  size_t route_count, set_count, request_count;  // requests for each set
};

}  // namespace

TEST_CASE("the router finds what the naive router finds") {
  if (const char* seed = std::getenv("MOONGATE_ROUTER_SEED")) {
    size_t route_count =
        std::getenv("MOONGATE_ROUTER_ROUTES") ? std::stoul(std::getenv("MOONGATE_ROUTER_ROUTES")) : 10;
    compare(std::stoull(seed), route_count, 10000);
    return;
  }
  const Share kShares[] = {{1, 6000, 40},   {2, 6000, 40},    {10, 3000, 100}, {100, 600, 200},
                           {101, 300, 200}, {1000, 30, 1200}, {10000, 3, 1400}};
  size_t total = 0;
  for (const Share& share : kShares) {
    size_t found = 0;
    size_t set_count = (share.set_count + kSetsPart - 1) / kSetsPart;
    for (size_t i = 0; i < set_count; i++) {
      found += compare(share.route_count * 1000003 + i, share.route_count, share.request_count);
    }
    size_t count = set_count * share.request_count;
    total += count;
    // Neither all hits nor all misses: the comparison would prove little.
    CHECK(found > count / 10);
    CHECK(found < count);
  }
  CHECK(total >= 1000000 / kSetsPart);
}

TEST_CASE("a router that was patched finds what the naive router finds, edit after edit") {
  const Share kShares[] = {{2, 600, 10}, {10, 800, 20}, {40, 500, 20}, {250, 90, 60}, {2000, 4, 100}};
  constexpr size_t kEdits = 40;
  size_t total = 0;
  size_t patched = 0;
  size_t edits = 0;
  for (const Share& share : kShares) {
    const size_t set_count = (share.set_count + kSetsPart - 1) / kSetsPart;
    size_t found = 0;
    for (size_t i = 0; i < set_count; i++) {
      const uint64_t seed = share.route_count * 7919 + i;
      EditedRoutes routes(seed, share.route_count);
      for (size_t edit = 0; edit < kEdits; edit++) {
        patched += routes.edit(1 + seed % 61);
        edits++;
        std::ostringstream about;
        about << "edited seed " << seed << ", " << share.route_count << " routes, edit " << edit;
        found += routes.compare_some(share.request_count, about.str());
        if (edit % 16 == 15) REQUIRE(routes.lists_as_a_new_one());
      }
    }
    const size_t count = set_count * kEdits * share.request_count;
    total += count;
    CHECK(found > count / 10);
    CHECK(found < count);
  }
  CHECK(total >= 1000000 / kSetsPart);
  CHECK(patched > edits * 3 / 4);
}
