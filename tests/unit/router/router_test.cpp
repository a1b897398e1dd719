// SPDX-License-Identifier: Apache-2.0
// What a router finds: each promise of its order and each condition, one at a time.
#include "router/router.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "fixtures.h"

using namespace moongate;
using namespace moongate::router;
using Mode = Router::Mode;

namespace {
size_t g_allocation_count = 0;
}

// Counts allocations, for the claim that a match makes none.
__attribute__((noinline)) void* operator new(size_t size) {
  g_allocation_count++;
  void* at = std::malloc(size == 0 ? 1 : size);
  if (at == nullptr) std::abort();
  return at;
}
__attribute__((noinline)) void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return operator new(size);
}
__attribute__((noinline)) void operator delete(void* at) noexcept { std::free(at); }
__attribute__((noinline)) void operator delete(void* at, size_t) noexcept { std::free(at); }

namespace {

RouteSpec route(std::string id, std::vector<std::string> uris, std::vector<std::string> hosts = {}) {
  RouteSpec spec;
  spec.id = std::move(id);
  spec.uris = std::move(uris);
  spec.hosts = std::move(hosts);
  return spec;
}

std::unique_ptr<const Router> build(Mode mode, std::vector<RouteSpec> specs) {
  Router::Builder builder(mode);
  for (uint32_t i = 0; i < specs.size(); i++) {
    specs[i].order = specs[i].target = i;
    REQUIRE(builder.add(std::move(specs[i])).ok());
  }
  return builder.finish();
}

/// The id of the route found, "-" for none.
std::string find(const Router& router, const Request& request, Match* match) {
  return router.match(request, match) ? match->spec->id : "-";
}
std::string find(const Router& router, const Request& request) {
  Match match;
  return find(router, request, &match);
}
std::string find(const Router& router, std::string_view path, std::string_view host = "", uint16_t port = 0) {
  return find(router, Request{path, host, port, http::Method::kGet, "GET"});
}

RouteSpec with_priority(RouteSpec spec, int priority) {
  spec.priority = priority;
  return spec;
}

}  // namespace

TEST_CASE("an empty router finds nothing") {
  auto router = build(Mode::kHostUri, {});
  CHECK(find(*router, "/") == "-");
  CHECK(find(*router, "", "a.com") == "-");
  CHECK(router->route_count() == 0);
}

TEST_CASE("an exact path goes before every wildcard, whatever their priorities") {
  auto router =
      build(Mode::kHostUri, {with_priority(route("all", {"/*"}), 100),
                             with_priority(route("prefix", {"/a/b*"}), 50), route("exact", {"/a/b"})});
  CHECK(find(*router, "/a/b") == "exact");
  CHECK(find(*router, "/a/bc") == "prefix");
  CHECK(find(*router, "/a/c") == "all");
}

TEST_CASE("the longest literal goes first, and priority does not reach beyond its group") {
  auto router = build(Mode::kHostUri, {with_priority(route("short", {"/a/*"}), 9), route("long", {"/a/b/*"}),
                                       route("middle", {"/a/b*"})});
  CHECK(find(*router, "/a/b/c") == "long");
  CHECK(find(*router, "/a/bb") == "middle");
  CHECK(find(*router, "/a/c") == "short");
}

TEST_CASE("inside a group: higher priority, then longer pattern, then stored order") {
  auto router =
      build(Mode::kHostUri,
            {route("first", {"/a/*"}), route("second", {"/a/*"}), route("suffix", {"/a/*/z"}),
             with_priority(route("urgent", {"/a/*/y"}), 1), with_priority(route("low", {"/a/*/x/z"}), -1)});
  CHECK(find(*router, "/a/q/y") == "urgent");
  CHECK(find(*router, "/a/x/z") == "suffix");
  CHECK(find(*router, "/a/q") == "first");
  auto exact = build(Mode::kUri, {route("one", {"/a"}), with_priority(route("two", {"/a"}), 1),
                                  with_priority(route("three", {"/a"}), 1)});
  CHECK(find(*exact, "/a") == "two");
}

TEST_CASE("a condition that fails sends the search on to the next of the group and to shorter literals") {
  RouteSpec put = route("put", {"/a/b"});
  put.methods = method_bit(http::Method::kPut);
  RouteSpec post = with_priority(route("post", {"/a/b*"}), 5);
  post.methods = method_bit(http::Method::kPost);
  auto router = build(Mode::kHostUri, {put, post, route("b", {"/a/b*"}), route("a", {"/a*"})});
  CHECK(find(*router, "/a/b") == "b");
  CHECK(find(*router, {"/a/b", "", 0, http::Method::kPut, "PUT"}) == "put");
  CHECK(find(*router, {"/a/b", "", 0, http::Method::kPost, "POST"}) == "post");
  CHECK(find(*router, "/a/c") == "a");
}

TEST_CASE("with the host mode a host goes before a longer path without one") {
  auto router =
      build(Mode::kHostUri, {route("path", {"/a/b/c"}), route("host", {"/a/*"}, {"a.com"}),
                             route("wild", {"/a/*"}, {"*.a.com"}), route("wilder", {"/a/b/*"}, {"*.com"}),
                             route("longer", {"/*"}, {"*.x.a.com"})});
  CHECK(find(*router, "/a/b/c", "a.com") == "host");
  CHECK(find(*router, "/a/b/c", "b.a.com") == "wild");
  CHECK(find(*router, "/a/b/c", "y.x.a.com") == "longer");
  CHECK(find(*router, "/a/b/c", "b.com") == "wilder");
  CHECK(find(*router, "/a/b/c", "b.org") == "path");
}

TEST_CASE("when nothing fits below a host, wider hosts and routes without host are tried") {
  auto router =
      build(Mode::kHostUri, {route("exact", {"/1"}, {"b.a.com"}), route("wild", {"/2"}, {"*.a.com"}),
                             route("wilder", {"/3"}, {"*.com"}), route("any", {"/4"})});
  CHECK(find(*router, "/1", "b.a.com") == "exact");
  CHECK(find(*router, "/2", "b.a.com") == "wild");
  CHECK(find(*router, "/3", "b.a.com") == "wilder");
  CHECK(find(*router, "/4", "b.a.com") == "any");
  CHECK(find(*router, "/5", "b.a.com") == "-");
  CHECK(find(*router, "/1", "c.a.com") == "-");
}

TEST_CASE("a wildcard host matches any depth and not the bare domain") {
  for (Mode mode : {Mode::kHostUri, Mode::kUri}) {
    auto router = build(mode, {route("wild", {"/*"}, {"*.a.com"})});
    CHECK(find(*router, "/", "b.a.com") == "wild");
    CHECK(find(*router, "/", "c.b.a.com") == "wild");
    CHECK(find(*router, "/", "a.com") == "-");
    CHECK(find(*router, "/", "ba.com") == "-");
    CHECK(find(*router, "/", "") == "-");
  }
}

TEST_CASE("hosts are put in lower case and the host pattern comes back") {
  auto router = build(Mode::kHostUri,
                      {route("r", {"/*"}, {"*.A-Rather-Long-Name-For-One-Cache-Line.Example.COM", "B.com"})});
  Match match;
  CHECK(find(*router, {"/", "x.a-rather-long-name-for-one-cache-line.example.com"}, &match) == "r");
  CHECK(match.host_pattern == "*.a-rather-long-name-for-one-cache-line.example.com");
  CHECK(find(*router, {"/", "b.com"}, &match) == "r");
  CHECK(match.host_pattern == "b.com");
}

TEST_CASE("a host too long for its cache line is told from one that begins the same") {
  std::string name = std::string(40, 'a');
  auto router =
      build(Mode::kHostUri, {route("one", {"/"}, {name + "1.com"}), route("two", {"/"}, {name + "2.com"})});
  CHECK(find(*router, "/", name + "1.com") == "one");
  CHECK(find(*router, "/", name + "2.com") == "two");
  CHECK(find(*router, "/", name + "3.com") == "-");
}

TEST_CASE("a host with a port wants that port and goes before the same host without") {
  for (Mode mode : {Mode::kHostUri, Mode::kUri}) {
    auto router = build(mode, {route("port", {"/*"}, {"a.com:8080", "*.a.com:8080", "[::1]:8080"}),
                               route("plain", {"/*"}, {"a.com", "[::1]"})});
    CHECK(find(*router, "/", "a.com", 8080) == "port");
    CHECK(find(*router, "/", "a.com", 0) == "plain");
    CHECK(find(*router, "/", "a.com", 81) == "plain");
    CHECK(find(*router, "/", "b.a.com", 8080) == "port");
    CHECK(find(*router, "/", "b.a.com", 81) == "-");
    CHECK(find(*router, "/", "[::1]", 8080) == "port");
    CHECK(find(*router, "/", "[::1]", 0) == "plain");
  }
}

TEST_CASE("in the uri modes hosts are a condition: the path decides first") {
  auto router = build(Mode::kUri, {route("host", {"/a/*"}, {"a.com"}), route("path", {"/a/b/*"})});
  CHECK(find(*router, "/a/b/c", "a.com") == "path");
  CHECK(find(*router, "/a/x", "a.com") == "host");
  CHECK(find(*router, "/a/x", "b.com") == "-");
}

TEST_CASE("methods: none means all, HEAD is not implied, others go by name") {
  RouteSpec get = route("get", {"/a"});
  get.methods = method_bit(http::Method::kGet);
  RouteSpec other = route("other", {"/b"});
  other.other_methods = {"PROPFIND"};
  auto router = build(Mode::kHostUri, {get, other, route("all", {"/c"})});
  CHECK(find(*router, "/a") == "get");
  CHECK(find(*router, {"/a", "", 0, http::Method::kHead, "HEAD"}) == "-");
  CHECK(find(*router, {"/b", "", 0, http::Method::kOther, "PROPFIND"}) == "other");
  CHECK(find(*router, {"/b", "", 0, http::Method::kOther, "REPORT"}) == "-");
  CHECK(find(*router, "/b") == "-");
  CHECK(find(*router, {"/c", "", 0, http::Method::kOther, "REPORT"}) == "all");
}

TEST_CASE("remote addresses must hold the client's, which must be known") {
  RouteSpec spec = route("r", {"/"});
  spec.remote_addrs = AddressSet::parse(std::vector<std::string>{"10.0.0.0/8", "::1"}).take();
  auto router = build(Mode::kHostUri, {spec});
  Address inside = parse_address("10.1.1.1").take();
  Address outside = parse_address("11.1.1.1").take();
  CHECK(find(*router, {"/", "", 0, http::Method::kGet, "GET", &inside}) == "r");
  CHECK(find(*router, {"/", "", 0, http::Method::kGet, "GET", &outside}) == "-");
  CHECK(find(*router, "/") == "-");
}

TEST_CASE("vars decide, and without variables every one of them is unset") {
  RouteSpec canary = route("canary", {"/"});
  canary.vars = std::shared_ptr<const Expression>(compile_json(R"([["http_x_canary","==","true"]])").take());
  RouteSpec unset = route("unset", {"/u"});
  unset.vars = std::shared_ptr<const Expression>(compile_json(R"([["arg_x","==",null]])").take());
  auto router = build(Mode::kHostUri, {canary, route("stable", {"/*"}), unset});
  MapVariables variables{{"http_x_canary", "true"}};
  CHECK(find(*router, {"/", "", 0, http::Method::kGet, "GET", nullptr, &variables}) == "canary");
  CHECK(find(*router, "/") == "stable");
  CHECK(find(*router, "/u") == "unset");
}

TEST_CASE("the filter is asked last, and without one its routes are not taken") {
  struct Recorder : FilterHook {
    bool accept(const RouteSpec& spec, uint32_t target) override {
      asked += spec.id + std::to_string(target) + " ";
      return spec.id == "yes";
    }
    std::string asked;
  };
  RouteSpec no = route("no", {"/a"}), yes = route("yes", {"/a"}), get = route("get", {"/a"});
  no.has_filter = yes.has_filter = get.has_filter = true;
  get.methods = method_bit(http::Method::kPost);
  auto router = build(Mode::kHostUri, {get, no, yes});
  Recorder recorder;
  CHECK(find(*router, {"/a", "", 0, http::Method::kGet, "GET", nullptr, nullptr, &recorder}) == "yes");
  CHECK(recorder.asked == "no1 yes2 ");
  CHECK(find(*router, "/a") == "-");
}

TEST_CASE("captures come back by name, the last of a name first") {
  auto router = build(Mode::kUriWithParameter, {route("r", {"/u/:name/files/*path"}),
                                                route("s", {"/s/*/t/*"}), route("rest", {"/x/*rest"})});
  Match match;
  std::string_view value;
  CHECK(find(*router, {"/u/ann/files/a/b.txt"}, &match) == "r");
  CHECK(match.pattern == "/u/:name/files/*path");
  REQUIRE(match.find_capture("name", &value));
  CHECK(value == "ann");
  REQUIRE(match.find_capture("path", &value));
  CHECK(value == "a/b.txt");
  CHECK_FALSE(match.find_capture("other", &value));
  CHECK(find(*router, {"/s/1/t/2"}, &match) == "s");
  REQUIRE(match.find_capture(":ext", &value));
  CHECK(value == "2");
  CHECK(find(*router, {"/x/1/2"}, &match) == "rest");
  REQUIRE(match.find_capture("rest", &value));
  CHECK(value == "1/2");
}

TEST_CASE("parameters exist in their mode only") {
  for (Mode mode : {Mode::kHostUri, Mode::kUri}) {
    auto router = build(mode, {route("r", {"/u/:name"})});
    CHECK(find(*router, "/u/ann") == "-");
    CHECK(find(*router, "/u/:name") == "r");
  }
  CHECK(find(*build(Mode::kUriWithParameter, {route("r", {"/u/:name"})}), "/u/ann") == "r");
}

TEST_CASE("an asterisk target and a path that is not absolute meet only what covers them") {
  auto router = build(Mode::kHostUri, {route("root", {"/*"}), route("star", {"*"})});
  CHECK(find(*router, "*") == "star");
  CHECK(find(*router, "") == "star");
  CHECK(find(*router, "/x") == "root");
}

TEST_CASE("paths may hold any byte") {
  std::string path("/a\0b\xff", 5);
  auto router = build(Mode::kHostUri, {route("exact", {path}), route("prefix", {path + "/*"})});
  CHECK(find(*router, path) == "exact");
  CHECK(find(*router, path + "/c") == "prefix");
  CHECK(find(*router, "/a") == "-");
}

TEST_CASE("nodes with many children find each of them") {
  std::vector<RouteSpec> specs;
  for (int count : {1, 2, 7, 8, 9, 15, 16, 17, 200}) {
    for (int i = 0; i < count; i++) {
      std::string text = "/" + std::to_string(count) + "/" +
                         std::string(1, static_cast<char>(i == 9 ? 'z' : 201 - i)) + "/*";
      if (text.find('*') == text.size() - 1) specs.push_back(route(text, {text}));
    }
  }
  auto router = build(Mode::kHostUri, specs);
  for (const RouteSpec& spec : specs)
    CHECK(find(*router, spec.id.substr(0, spec.id.size() - 1) + "x") == spec.id);
  CHECK(find(*router, "/7/\x01/") == "-");
  CHECK(find(*router, std::string("/7/\0/", 5)) == "-");
  CHECK(find(*router, "/200/\xf0/") == "-");
}

TEST_CASE("a match allocates nothing") {
  RouteSpec vars = route("vars", {"/u/:id/*rest"}, {"*.a.com", "b.com:81"});
  vars.vars = std::shared_ptr<const Expression>(compile_json(R"([["a","in",["1","2"]],["a","<",2]])").take());
  vars.remote_addrs = AddressSet::parse(std::vector<std::string>{"10.0.0.0/8"}).take();
  for (Mode mode : {Mode::kHostUri, Mode::kUriWithParameter}) {
    auto router = build(mode, {vars, route("mid", {"/u/*/x"}), route("exact", {"/e"})});
    struct One : VariableSource {
      bool find(std::string_view, std::string_view* value) override {
        *value = "1";
        return true;
      }
    } variables;
    Address remote = Address::from_v4(0x0A000001);
    Match match;
    size_t before = g_allocation_count;
    bool has_found =
        router->match({"/u/1/2/3", "x.a.com", 0, http::Method::kGet, "GET", &remote, &variables}, &match);
    has_found |=
        router->match({"/u/1/2/x", "b.com", 81, http::Method::kGet, "GET", nullptr, &variables}, &match);
    has_found |= router->match({"/e", "b.com", 81, http::Method::kGet, "GET"}, &match);
    CHECK(g_allocation_count == before);
    CHECK(has_found);
  }
}

TEST_CASE("routes are listed in the order in which they are tried") {
  RouteSpec post = route("post", {"/a/*"});
  post.methods = method_bit(http::Method::kPost);
  RouteSpec high = route("high", {"/a/*"});
  high.priority = 7;
  auto router = build(Mode::kHostUri, {route("rest", {"/*"}), post, high, route("exact", {"/a/b"}),
                                       route("wide", {"/*"}, {"*.com"}), route("narrow", {"/*"}, {"*.a.com"}),
                                       route("host", {"/x", "/y"}, {"a.com", "b.com"})});
  std::string ids;
  for (const Router::Listed& listed : router->list()) ids += listed.spec->id + " ";
  CHECK(ids == "host narrow wide exact high post rest ");
}

TEST_CASE("an explanation says what each route lacked, other hosts last") {
  RouteSpec post = route("post", {"/a/*"});
  post.methods = method_bit(http::Method::kPost);
  post.priority = 3;
  RouteSpec near = route("near", {"/a/*"});
  near.remote_addrs = AddressSet::parse(std::vector<std::string>{"10.0.0.0/8"}).take();
  near.priority = 2;
  RouteSpec vars = route("vars", {"/a/*"});
  vars.vars = std::shared_ptr<const Expression>(compile_json(R"([["a","==","1"]])").take());
  vars.priority = 1;
  RouteSpec filter = route("filter", {"/a/*"});
  filter.has_filter = true;
  auto router =
      build(Mode::kHostUri, {route("rest", {"/*"}), post, near, vars, filter, route("longer", {"/a/*/x"}),
                             route("host", {"/a/*"}, {"a.com"}), route("elsewhere", {"/z"}, {"a.com"})});
  Match match;
  std::vector<Trial> trials;
  REQUIRE(router->explain({"/a/b", "c.com", 0, http::Method::kGet, "GET"}, &match, 100, &trials));
  std::string told;
  for (const Trial& trial : trials)
    told += trial.spec->id + std::to_string(static_cast<int>(trial.verdict)) + " ";
  CHECK(told == "post2 near3 vars5 filter6 rest0 host4 ");
}
