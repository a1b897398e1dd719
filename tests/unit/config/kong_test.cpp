// SPDX-License-Identifier: Apache-2.0
// Kong's format: what the translator makes of it, where it says the rest is, and that YAML written is YAML
// read.
#include "config/kong.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/kong_paths.h"
#include "config/yaml_reader.h"
#include "config/yaml_writer.h"
#include "config_fixture.h"

using namespace moongate::config;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

struct Translated {
  Places places;
  KongTranslation made;

  explicit Translated(const std::string& text) {
    REQUIRE(places.add("kong.yml"));
    auto root = read_yaml("_format_version: '3.0'\n" + text, 0);
    INFO((root ? "" : root.error().detail));
    REQUIRE(root);
    made = translate_kong(*root, places);
  }
  std::string findings() const {
    std::string all;
    for (const KongFinding& finding : made.findings) all += finding.text + "\n";
    return all;
  }
  const Value& item(const std::string& list, size_t index) const {
    return made.root.find(list)->items().at(index);
  }
  std::string json(const std::string& list, size_t index, const std::string& key) const {
    const Value* value = item(list, index).find(key);
    return value == nullptr ? "" : to_json(*value);
  }
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a path's literal is what every match begins with") {
  CHECK(read_kong_path("/a/b").literal == "/a/b");
  CHECK(read_kong_path("/a/b").pattern.empty());
  CHECK(read_kong_path("/a*b").literal == "/a");
  CHECK(read_kong_path("/a*b").pattern == "^/a\\*b");
  for (const auto& [written, literal] : {std::pair<const char*, const char*>{"~/a/(\\d+)$", "/a/"},
                                         {"~^/a.b", "/a"},
                                         {"~/a\\.b\\d", "/a.b"},
                                         {"~/ab?c", "/a"},
                                         {"~/ab*", "/a"},
                                         {"~/ab+c", "/ab"},
                                         {"~/ab{2}", "/a"},
                                         {"~/a|/b", "/"},
                                         {"~(?i)/a", "/"},
                                         {"~.*", "/"},
                                         {"~/a\\*b", "/a"},
                                         {"~/", "/"},
                                         {"~", "/"},
                                         {"~/a(b|c)d", "/"}}) {
    INFO(written);
    CHECK(read_kong_path(written).literal == literal);
  }
}

TEST_CASE("in files before 3.0 what a path is made of tells whether it is an expression") {
  for (const char* prefix : {"/", "/a.b-c_d~e/%20", "/v1"}) {
    INFO(prefix);
    CHECK_FALSE(read_kong_path(prefix, true).is_regex);
  }
  for (const char* expression : {"/a/(?<id>\\d+)", "/a$", "/a/[^/]+", "~/a"}) {
    INFO(expression);
    CHECK(read_kong_path(expression, true).is_regex);
  }
  CHECK_FALSE(read_kong_path("/a$").is_regex);
}

TEST_CASE("groups of an expression are counted past, so that the rest of the path is the right one") {
  const auto rewrite_of = [](const char* path) {
    return make_kong_rewrites({read_kong_path(path)}, "/", true, KongPathHandling::kV0).back();
  };
  CHECK(rewrite_of("/a") == "/$1");
  CHECK(rewrite_of("~/a/(\\d+)/(?<x>y)") == "/$3");
  CHECK(rewrite_of("~/a/(?:b)(?=c)(?<!d)(?<=e)") == "/$1");
  CHECK(rewrite_of("~/\\(a[(]\\[([)])") == "/$2");
}

TEST_CASE(
    "a service's upstream has its protocol, retries and timeouts, and the nodes of the upstream it names") {
  const Translated kong(R"(
services: [{name: s, protocol: https, host: u, port: 9, retries: 2, connect_timeout: 1500, tls_verify: false,
            routes: [{name: r, paths: [/]}]}]
upstreams: [{name: u, algorithm: consistent-hashing, hash_on: header, hash_on_header: X-User, host_header: h.test,
             targets: [{target: "a.test:81", weight: 7}]}]
targets: [{target: "[::1]", upstream: u}]
)");
  CHECK(kong.findings().empty());
  CHECK(
      kong.json("services", 0, "upstream") ==
      R"({"scheme":"https","type":"chash","hash_on":"header","key":"X-User",)"
      R"("nodes":[{"host":"a.test","port":81,"weight":7},{"host":"::1","port":8000,"weight":100}],)"
      R"("pass_host":"rewrite","upstream_host":"h.test","retries":2,"timeout":{"connect":1.5,"send":60,"read":60},)"
      R"("tls":{"verify":false}})");
}

TEST_CASE("a better route is tried under the longer paths of worse ones") {
  const Translated kong(R"(
routes: [{name: long, paths: [/a/b]}, {name: method, paths: [/a], methods: [GET]}, {name: short, paths: [/a]}]
)");
  CHECK(kong.json("routes", 0, "uris") == R"(["/a/b*"])");
  CHECK(kong.json("routes", 1, "uris") == R"(["/a*","/a/b*"])");
  CHECK(kong.json("routes", 2, "uris") == R"(["/a*"])");
  CHECK(kong.item("routes", 1).get_number("priority", 0) > kong.item("routes", 0).get_number("priority", 0));
  CHECK(kong.made.root.find("moongate") == nullptr);
}

TEST_CASE("routes that no request can be for both leave each other alone") {
  const Translated kong(R"(
routes:
- {name: long, paths: [/a/b], hosts: [x.test]}
- {name: other, paths: [/a], hosts: [y.test], methods: [GET]}
- {name: same, paths: [/a], hosts: [X.TEST], methods: [GET]}
- {name: port, paths: [/a], hosts: ["y.test:80"], methods: [GET]}
- {name: posts, paths: [/a/b/c], methods: [POST]}
)");
  CHECK(kong.json("routes", 1, "uris") == R"(["/a*"])");
  CHECK(kong.json("routes", 2, "uris") == R"(["/a*","/a/b*"])");
  CHECK(kong.json("routes", 3, "uris") == R"(["/a*","/a/b*"])");
  CHECK(kong.json("routes", 0, "uris") == R"(["/a/b*","/a/b/c*"])");
}

TEST_CASE("paths of several lengths and expressions become routes of their own") {
  const Translated kong("routes: [{name: r, paths: [/a, /bb, /cc, ~/d], hosts: [H.test]}]\n");
  REQUIRE(kong.made.root.find("routes")->items().size() == 3);
  CHECK(kong.json("routes", 0, "uris") == R"(["/bb*","/cc*"])");
  CHECK(kong.json("routes", 1, "id") == R"("r.2")");
  CHECK(kong.json("routes", 0, "hosts") == R"(["H.test"])");
  CHECK(to_json(*kong.made.root.find("moongate")) == R"({"router":"radixtree_uri"})");
}

TEST_CASE("what was made keeps the places of what it was made from") {
  const Translated kong(
      "services:\n- name: s\n  url: http://h\n  retries: 7\n  plugins:\n  - name: cors\n    config:\n      "
      "max_age: 9\n");
  const Value& service = kong.item("services", 0);
  CHECK(service.line() == 3);
  CHECK(service.find("upstream")->find("retries")->line() == 5);
  CHECK(service.find("plugins")->find("cors")->line() == 7);
  CHECK(service.find("plugins")->find("cors")->find("max_age")->line() == 9);
}

TEST_CASE("credentials follow their consumer, groups are a label") {
  const Translated kong(R"(
consumers: [{username: ann, custom_id: x1, acls: [{group: a}, {group: b}], jwt_secrets: [{key: k, secret: s}],
             basicauth_credentials: [{username: u, password: p, id: own}]}]
plugins: [{name: jwt, config: {secret_is_base64: true}}]
)");
  CHECK(kong.findings().empty());
  CHECK(kong.json("consumers", 0, "labels") == R"({"custom_id":"x1","acl_groups":"[\"a\",\"b\"]"})");
  CHECK(kong.json("consumers", 1, "id") == R"("ann/credentials/own")");
  CHECK(kong.json("consumers", 2, "plugins") ==
        R"({"jwt-auth":{"key":"k","algorithm":"HS256","secret":"s","base64_secret":true}})");
}

TEST_CASE("what cannot be served is refused with its line and field") {
  for (const auto& [text, finding] : {
           std::pair<const char*, const char*>{"service: []", "kong.yml:2: top level: unknown key `service`"},
           {"plugins: [{name: cors, config: {origins: ['{vault://env/x}']}}]",
            "kong.yml:2: vaults and decK's variables are not served"},
           {"consumers: [{username: a, groups: [{name: g}]}]", "consumers[0].groups: groups of consumers"},
           {"upstreams: [{name: u, targets: [{target: a}], healthchecks: {active: {healthy: {interval: 1}, "
            "https_snis: x}}}]\nservices: [{host: u}]",
            "healthchecks.active: unknown key `https_snis`"},
           {"services: {}", "kong.yml:2: services: expected a list"},
           {"services: [1]", "kong.yml:2: services[0]: expected a mapping"},
           {"services: [{name: s}]", "services[0].host: missing"},
           {"services: [{url: nowhere}]", "services[0].url: expected PROTOCOL://HOST"},
           {"services: [{url: 'tcp://h:1'}]", "services[0].protocol: unknown protocol `tcp`"},
           {"services: [{url: 'http://h', retrys: 1}]", "did you mean `retries`?"},
           {"services: [{url: 'http://h', retries: many}]", "services[0].retries: expected a whole number"},
           {"services: [{name: s, url: 'http://h'}, {name: s, url: 'http://h'}]", "`s` is taken"},
           {"routes: [{name: r}]", "routes[0].paths: missing"},
           {"routes: [{paths: [a]}]", "expected a path that begins with /"},
           {"routes: [{paths: [/], service: none}]", "routes[0].service: there is no such entity"},
           {"routes: [{paths: [/], protocols: [tcp]}]", "`tcp` is not served"},
           {"upstreams: [{name: u}]", "upstreams[0].targets: missing"},
           {"upstreams: [{name: u, targets: [{target: 'a b'}]}]\nservices: [{host: u}]", "targets[0].target"},
           {"plugins: [{name: oauth2}]", "plugins[0].name: unknown plugin `oauth2`"},
           {"plugins: [{name: cors}, {name: cors}]", "the same plugin is there already, at kong.yml:2"},
           {"plugins: [{name: key-auth, config: {key_names: [a, b]}}]",
            "plugins[0].config.key_names: only one"},
           {"consumers: [{username: a, keyauth_credentials: [{}]}]", "keyauth_credentials[0].key: missing"},
           {"consumers: [{username: a, plugins: [{name: cors, route: r}]}]", "a plugin for a combination"},
       }) {
    INFO(text);
    const Translated kong(std::string(text) + "\n");
    INFO(kong.findings());
    REQUIRE_FALSE(kong.made.findings.empty());
    CHECK(kong.made.findings.front().loss == KongLoss::kRefused);
    CHECK(contains(kong.findings(), finding));
  }
}

TEST_CASE("what nothing else depends on is left out, and listed with its line") {
  const Translated kong(R"(_transform: false
vaults: [{name: x}]
consumers:
- username: a
  basicauth_credentials: [{username: a, password: b}]
  hmacauth_credentials: [{username: a, secret: b}]
  keyauth_credentials: [{key: k, ttl: 60}, {key: l, ttl: null}]
)");
  const std::string findings = kong.findings();
  INFO(findings);
  for (const char* text :
       {"kong.yml:3: vaults: is not served, and left out",
        "kong.yml:6: consumers[0].basicauth_credentials[0].password: is left out",
        "kong.yml:7: consumers[0].hmacauth_credentials[0]: is left out",
        "kong.yml:8: consumers[0].keyauth_credentials[0]: is left out: it would never end"})
    CHECK(contains(findings, text));
  for (const KongFinding& finding : kong.made.findings) CHECK(finding.loss == KongLoss::kLost);
  REQUIRE(kong.made.root.find("consumers")->items().size() == 2);
  CHECK(kong.json("consumers", 1, "plugins") == R"({"key-auth":{"key":"l"}})");
}

TEST_CASE("names that are listed flat belong to their certificate") {
  const Translated kong(R"(
certificates: [{id: one, cert: c, key: k, snis: null}, {id: two, cert: c, key: k, snis: [{name: b.test}]}]
snis: [{name: a.test, certificate: {id: one}}, {name: c.test, certificate: two}]
)");
  CHECK(kong.findings() == "");
  CHECK(kong.json("ssls", 0, "snis") == R"(["a.test"])");
  CHECK(kong.json("ssls", 1, "snis") == R"(["c.test","b.test"])");
  const Translated lost("snis: [{name: a.test, certificate: {id: none}}]\n");
  CHECK(contains(lost.findings(), "snis[0].certificate: there is no such entity"));
}

TEST_CASE("checks are switched on by what has an interval or a limit") {
  const auto checks = [](const std::string& written) {
    const Translated kong("upstreams: [{name: u, targets: [{target: a}], healthchecks: " + written +
                          "}]\nservices: [{name: s, host: u}]\n");
    const Value* made = kong.item("services", 0).find("upstream")->find("checks");
    return made == nullptr ? "none" : to_json(*made);
  };
  CHECK(checks("{active: {healthy: {interval: 0, successes: 3}}, passive: {type: http}}") == "none");
  CHECK(checks("{active: {http_path: /up, unhealthy: {interval: 5, timeouts: 3}}}") ==
        R"({"active":{"http_path":"/up","healthy":{"successes":0,"enabled":false},)"
        R"("unhealthy":{"http_failures":0,"tcp_failures":0,"timeouts":3,"interval":5}}})");
  CHECK(checks("{active: {type: grpcs, concurrency: 2.5, https_sni: null, headers: null, healthy: null, "
               "unhealthy: {interval: 0.5, http_statuses: null, timeouts: 255}}}") ==
        R"({"active":{"type":"tcp","concurrency":3,"healthy":{"successes":0,"enabled":false},)"
        R"("unhealthy":{"http_failures":0,"tcp_failures":0,"timeouts":255,"interval":0.5}}})");
  CHECK(checks("{active: {healthy: {interval: 0.01}, unhealthy: null}}") ==
        R"({"active":{"healthy":{"successes":0,"interval":0.1},)"
        R"("unhealthy":{"http_failures":0,"tcp_failures":0,"timeouts":0,"enabled":false}}})");
  CHECK(checks("{passive: {unhealthy: {tcp_failures: 2}}}") ==
        R"({"active":{"enabled":false},"passive":{"healthy":{"successes":0},)"
        R"("unhealthy":{"http_failures":0,"tcp_failures":2,"timeouts":0}}})");
}

TEST_CASE("another version of the format is refused with those that are read") {
  const TestFolder folder;
  folder.write("kong.yml", "_format_version: '4.0'\n");
  CHECK(contains(load_error(folder, {"kong.yml"}),
                 "kong.yml:1: _format_version: expected \"3.0\", \"2.1\" or \"1.1\", got \"4.0\""));
}

TEST_CASE("a plugin that is switched off hides none of a wider scope") {
  const Translated kong(R"(
services: [{name: s, url: "http://h", plugins: [{name: key-auth, enabled: false}, {name: cors, enabled: false}],
            routes: [{name: r, paths: [/], plugins: [{name: key-auth, enabled: false}]}]}]
plugins: [{name: key-auth}]
)");
  CHECK(kong.item("services", 0).find("plugins")->find("key-auth")->find("_meta") == nullptr);
  CHECK(to_json(*kong.item("services", 0).find("plugins")->find("cors")->find("_meta")) ==
        R"({"disable":true})");
  CHECK_FALSE(contains(kong.json("routes", 0, "plugins"), "key-auth"));
}

TEST_CASE("an overlay of our own changes what Kong's file says") {
  const TestFolder folder;
  folder.write("a.yaml", "moongate: {workers: 3}\n");
  folder.write("kong.yml", "_format_version: '3.0'\nservices: [{name: s, url: 'http://h', retries: 1}]\n");
  folder.write("c.yaml", "services: [{id: s, upstream: {retries: 9}}]\n");
  SourceOptions options;
  options.environment = environment_of({});
  const auto source =
      Source::load({folder.path("a.yaml"), folder.path("kong.yml"), folder.path("c.yaml")}, options);
  REQUIRE(source);
  CHECK(to_json(*source->root().find("services")->items()[0].find("upstream")->find("retries")) == "9");
  CHECK(to_json(*source->root().find("moongate")) == R"({"workers":3})");
}

TEST_CASE("YAML that is written reads as the same tree") {
  const char* text = R"(
a: ["plain", "two words", "yes", "1", "", "- x", "a: b", "#c", "${X}", "$$ {", "ü\n\"\\", "~", "22:22", ".5", "/a*"]
"odd: key": {b: [], c: {}, d: ~, e: true, f: 1.5, g: -3}
list: [[1, [2, {x: y}]], {h: {i: [{j: k, l: [m]}]}}, [], {}, "s"]
long: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, cccccccccc]
)";
  const auto root = read_yaml(text, 0);
  REQUIRE(root);
  const std::string written = write_yaml(*root);
  INFO(written);
  const auto again = read_yaml(written, 0, environment_of({{"X", "expanded"}}));
  INFO((again ? "" : again.error().detail));
  REQUIRE(again);
  CHECK(to_json(*again) == to_json(*root));
  for (const char* scalar : {"1", "text", "\"\"", "[]", "{}", "~"}) {
    const auto value = read_yaml(scalar, 0);
    const auto back = read_yaml(write_yaml(*value), 0);
    REQUIRE(back);
    CHECK(*back == *value);
  }
}
