// SPDX-License-Identifier: Apache-2.0
// A tree becomes resources: kinds, ids, credentials, and what is wrong at the top.
#include "config/document.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/yaml_reader.h"
#include "config_fixture.h"

using namespace moongate::config;

namespace {

Document document_of(std::string_view text) {
  auto root = read_yaml(text, 0);
  REQUIRE(root);
  auto document = make_document(root.take(), Places());
  INFO((document ? "" : document.error().detail));
  REQUIRE(document);
  return document.take();
}

std::string error_of(std::string_view text) {
  auto root = read_yaml(text, 0);
  REQUIRE(root);
  Places places;
  REQUIRE(places.add("a.yaml"));
  const auto document = make_document(root.take(), places);
  return document ? "" : document.error().detail;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every list of resources becomes resources of its kind") {
  const Document document = document_of(R"(
routes: [{id: 1, uri: /a}]
services: [{id: 1}]
upstreams: [{id: 1}]
consumers: [{username: jack}, {id: jack/credentials/one, plugins: {}}]
consumer_groups: [{id: g}]
plugin_configs: [{id: p}]
global_rules: [{id: r}]
plugin_metadata: [{id: syslog}]
ssls: [{id: s}]
protos: [{id: o}]
secrets: [{id: vault/1}]
stream_routes: [{id: t}]
plugins: [{name: key-auth}]
plugin_attr: {prometheus: {}}
)");
  std::string all;
  for (const Resource& resource : document.resources) {
    all += std::string(kind_name(resource.kind)) + ":" + resource.id + " ";
  }
  CHECK(all ==
        "route:1 service:1 upstream:1 consumer:jack credential:jack/credentials/one consumer_group:g "
        "plugin_config:p "
        "global_rule:r plugin_metadata:syslog ssl:s proto:o secret:vault/1 stream_route:t ");
  CHECK(document.root.find("plugins")->items().size() == 1);
  CHECK(document.root.find("plugin_attr")->find("prometheus") != nullptr);
  CHECK(document.root.find("routes") == nullptr);
}

TEST_CASE("resources know their position and their place") {
  const Document document = document_of("routes:\n  - {uri: /a}\n  - id: x\n    uri: /b\n");
  REQUIRE(document.resources.size() == 2);
  CHECK(document.resources[0].id == "arr_1");
  CHECK(document.resources[0].body.get_string("id") == "arr_1");
  CHECK(document.resources[1].name() == "routes[1]");
  CHECK(document.resources[1].body.find("uri")->line() == 4);
}

TEST_CASE("unknown keys at the top are refused with a suggestion") {
  CHECK(error_of("upstreams: []\nrotues: []\n") == "a.yaml:2: unknown key `rotues`; did you mean `routes`?");
  CHECK(contains(error_of("zebra: 1"), "a.yaml:1: unknown key `zebra`; known are routes, services"));
  CHECK(contains(error_of("routes: []\nnginx_config: {}\n"),
                 "a.yaml:2: nginx_config: belongs to APISIX's config.yaml"));
}

TEST_CASE("lists that are none, items that are none and odd ids are refused") {
  CHECK(error_of("routes: {a: b}") == "a.yaml:1: routes: expected a list, got a mapping");
  CHECK(error_of("routes:\n  - {uri: /a}\n  - 7\n") == "a.yaml:3: routes[1]: expected a mapping, got 7");
  CHECK(error_of("routes:\n  - {id: [1], uri: /a}\n") ==
        "a.yaml:2: routes[0].id: expected a text or a whole number, got a list");
  CHECK(
      contains(error_of("routes: [{id: 1.5}]"), "routes[0].id: expected a text or a whole number, got 1.5"));
  CHECK(contains(error_of("plugin_attr: []"), "plugin_attr: expected a mapping of plugin names"));
  CHECK(contains(error_of("plugins: {}"), "plugins: expected a list"));
  CHECK(error_of("routes:\nplugins:\n").empty());
}

TEST_CASE("an id used twice in a kind is refused with both places; another kind may use it") {
  CHECK(error_of("routes:\n  - {id: 1}\n  - {id: '1'}\n") ==
        "a.yaml:3: routes[1]: the id `1` is taken by the one at a.yaml:2; give each its own");
  CHECK(contains(error_of("consumers:\n  - {username: a, id: x}\n  - {username: a, id: y}\n"),
                 "a.yaml:3: consumers[1]: the id `a` is taken"));
  CHECK(error_of("routes: [{id: 1}]\nservices: [{id: 1}]\n").empty());
}

TEST_CASE("credentials need a consumer and an id") {
  CHECK(contains(error_of("consumers: [{id: /credentials/x}]"),
                 "a credential's id is USERNAME/credentials/ID"));
  CHECK(contains(error_of("consumers: [{id: a/credentials/}]"),
                 "a credential's id is USERNAME/credentials/ID"));
  CHECK(contains(error_of("consumers: [{id: a/credentials/b/c}]"),
                 "a credential's id is USERNAME/credentials/ID"));
}

TEST_CASE(
    "what plugin_attr.prometheus says of the page is a setting, unless the settings say it themselves") {
  const auto metrics_of = [](const std::string& text) { return document_of(text).settings.metrics; };
  const std::string attributes =
      "plugin_attr: {prometheus: {export_uri: /x, metric_prefix: shop_, export_addr: {ip: '::1', port: 9},"
      " default_buckets: [5, 10], metrics: {bandwidth: {extra_labels: [{a: $host}], expire: 7}}}}\n";
  const MetricsSettings copied = metrics_of(attributes);
  CHECK(copied.listen == "[::1]:9");
  CHECK(copied.path == "/x");
  CHECK(copied.prefix == "shop_");
  CHECK(copied.latency_buckets_ms == std::vector<double>{5, 10});
  CHECK(copied.of(TrafficMetric::kBandwidth).extra_labels == std::vector<ExtraLabel>{{"a", "host"}});
  CHECK(copied.of(TrafficMetric::kBandwidth).expire == std::chrono::seconds(7));
  const MetricsSettings own = metrics_of(attributes + "moongate: {metrics: {listen: 127.0.0.1:1, path: /y}}");
  CHECK(own.listen == "127.0.0.1:1");
  CHECK(own.path == "/y");
  CHECK(own.prefix == "shop_");
  CHECK(metrics_of(attributes + "moongate: {metrics: off}").listen.empty());
  CHECK(metrics_of("plugin_attr: {prometheus: {enable_export_server: false}}").listen.empty());
  CHECK(metrics_of("plugin_attr: {prometheus: {export_addr: {port: 91}}}").listen == "127.0.0.1:91");
  CHECK(contains(error_of("plugin_attr: {prometheus: {default_buckets: [2, 1]}}"), "latency_buckets[1]"));
  CHECK(contains(error_of("plugin_attr: {prometheus: [1]}"), "plugin_attr.prometheus: expected a mapping"));
}

TEST_CASE("the acceptance configurations load unchanged") {
  const std::map<std::string, size_t> expected{{"bff.yaml", 3},
                                               {"circuit-breaker.yaml", 1},
                                               {"jwt-orders.yaml", 3},
                                               {"kong-breaker.yml", 2},
                                               {"kong-oidc.yml", 2},
                                               {"kong-production.yml", 10},
                                               {"kong-rate-limit.yml", 2},
                                               {"load-balancing.yaml", 6},
                                               {"observability.yaml", 2}};
  const std::filesystem::path folder = std::filesystem::path(MOONGATE_SOURCE_ROOT) / "tests/acceptance";
  for (const auto& [name, count] : expected) {
    INFO(name);
    auto source = Source::load({(folder / name).string()}, SourceOptions());
    INFO((source ? "" : source.error().detail));
    REQUIRE(source);
    const auto document = make_document(source->take_root(), source->places());
    INFO((document ? "" : document.error().detail));
    REQUIRE(document);
    CHECK(document->resources.size() == count);
  }
}
