// SPDX-License-Identifier: Apache-2.0
// Resources as the data path gets them, and what is said about values that no schema would pass.
#include "config/resources.h"

#include <catch2/catch.hpp>

#include "config/yaml_reader.h"

using namespace moongate::config;
using moongate::base::Value;
using namespace std::chrono_literals;

namespace {

Value value_of(std::string_view text) {
  auto value = read_yaml(text, 0);
  REQUIRE(value);
  return value.take();
}

template <class T>
T parsed(moongate::base::Result<T> result) {
  INFO((result ? "" : result.error().detail));
  REQUIRE(result);
  return result.take();
}

template <class T>
std::string error_of(const moongate::base::Result<T>& result) {
  return result ? "" : result.error().detail;
}

}  // namespace

TEST_CASE("a route carries all of its fields") {
  const Route route = parsed(parse_route(value_of(R"(
id: 7
name: r
labels: {a: b}
uris: [/a, /b/*]
hosts: ["*.Foo.com", BAR.com]
methods: [GET, POST]
remote_addrs: [10.0.0.0/8]
vars: [[arg_x, ==, "1"]]
priority: -3
filter_func: "function(vars) return true end"
enable_websocket: true
status: 0
timeout: {connect: 0.5, send: 2, read: 3}
plugin_config_id: 12
service_id: s
upstream_id: 3
plugins: {z-plugin: {b: 1, a: {_meta: x}}, key-auth: {_meta: {disable: true}}}
upstream: {nodes: {"127.0.0.1:80": 1}}
)")));
  CHECK(route.id == "7");
  CHECK(route.labels == Labels{{"a", "b"}});
  CHECK(route.uris == std::vector<std::string>{"/a", "/b/*"});
  CHECK(route.hosts == std::vector<std::string>{"*.foo.com", "bar.com"});
  CHECK(route.methods.size() == 2);
  CHECK(route.vars.items().size() == 1);
  CHECK(route.priority == -3);
  CHECK(route.enable_websocket == true);
  CHECK_FALSE(route.is_enabled);
  CHECK(route.timeout->connect == 500ms);
  CHECK(route.plugin_config_id == "12");
  CHECK(route.upstream_id == "3");
  REQUIRE(route.plugins.size() == 2);
  CHECK(route.plugins[0].name == "z-plugin");
  CHECK(route.plugins[0].conf_json == R"({"a":{"_meta":"x"},"b":1})");
  CHECK_FALSE(route.plugins[0].is_disabled);
  CHECK(route.plugins[1].is_disabled);
  CHECK(route.upstream->nodes.size() == 1);
}

TEST_CASE("one uri, host and address are lists of one; absent fields have their defaults") {
  const Route route = parsed(parse_route(value_of("{uri: /a, host: A.com, remote_addr: 127.0.0.1}")));
  CHECK(route.uris == std::vector<std::string>{"/a"});
  CHECK(route.hosts == std::vector<std::string>{"a.com"});
  CHECK(route.remote_addrs == std::vector<std::string>{"127.0.0.1"});
  CHECK(route.is_enabled);
  CHECK(route.vars.is_null());
  CHECK_FALSE(route.enable_websocket.has_value());
  CHECK_FALSE(route.timeout.has_value());
  CHECK_FALSE(route.upstream.has_value());
}

TEST_CASE("a wrong route is refused by field") {
  CHECK(error_of(parse_route(value_of("{}"))) == "uri: missing; give uri or uris");
  CHECK(error_of(parse_route(value_of("{uri: /a, uris: [/b]}"))) ==
        "uris: only one of uri or uris is allowed");
  CHECK(error_of(parse_route(value_of("{uri: 1}"))) == "uri: expected a text, got 1");
  CHECK(error_of(parse_route(value_of("{uri: /a, methods: GET}"))) ==
        "methods: expected a list, got \"GET\"");
  CHECK(error_of(parse_route(value_of("{uri: /a, priority: 1e18}")))
            .starts_with("priority: expected a whole number"));
  CHECK(error_of(parse_route(value_of("{uri: /a, status: 2}"))) ==
        "status: expected a whole number from 0 to 1, got 2");
  CHECK(error_of(parse_route(value_of("{uri: /a, plugins: {key-auth: ~}}"))) ==
        "plugins.key-auth: expected a mapping ({} for the defaults), got nothing");
  CHECK(error_of(parse_route(value_of("{uri: /a, timeout: {read: -1}}"))) ==
        "timeout.read: expected a number of seconds, got -1");
  CHECK(error_of(parse_route(value_of("{uri: /a, upstream: {nodes: [{host: a, port: 0, weight: 1}]}}"))) ==
        "upstream.nodes[0].port: expected a whole number from 1 to 65535, got 0");
  CHECK(error_of(parse_route(value_of("[]"))) == "expected a mapping, got a list");
  CHECK(error_of(parse_route(Value::null())) == "expected a mapping, got nothing");
}

TEST_CASE("nodes come as a mapping or as a list, with the scheme's port where none is written") {
  const Upstream mapping =
      parsed(parse_upstream(value_of(R"({nodes: {"a:8080": 8, b: 2, "[::1]:81": 0, "::2": 1}})")));
  REQUIRE(mapping.nodes.size() == 4);
  CHECK(mapping.nodes[0].host == "a");
  CHECK(mapping.nodes[0].port == 8080);
  CHECK(mapping.nodes[0].weight == 8);
  CHECK(mapping.nodes[1].port == 80);
  CHECK(mapping.nodes[2].host == "::1");
  CHECK(mapping.nodes[2].port == 81);
  CHECK(mapping.nodes[2].weight == 0);
  CHECK(mapping.nodes[3].host == "::2");

  const Upstream list = parsed(parse_upstream(value_of(
      R"({scheme: https, nodes: [{host: a, weight: 1}, {host: "[::1]", port: 9, weight: 2, priority: -1, metadata: {z: 1}}]})")));
  REQUIRE(list.nodes.size() == 2);
  CHECK(list.nodes[0].port == 443);
  CHECK(list.nodes[1].host == "::1");
  CHECK(list.nodes[1].port == 9);
  CHECK(list.nodes[1].priority == -1);
  CHECK(list.nodes[1].metadata.get_number("z", 0) == 1);
  CHECK(parsed(parse_upstream(value_of("{nodes: {}}"))).nodes.empty());
}

TEST_CASE("an upstream carries all of its fields") {
  const Upstream upstream = parsed(parse_upstream(value_of(R"(
id: 1
type: chash
hash_on: header
key: X-User
scheme: grpcs
pass_host: rewrite
upstream_host: example.com
retries: 0
retry_timeout: 1.5
timeout: {connect: 1, send: 2, read: 0.0001}
keepalive_pool: {size: 5, idle_timeout: 0, requests: 9}
tls: {client_cert_id: 4}
checks: {active: {type: http}}
nodes: []
)")));
  CHECK(upstream.hash_on == HashOn::kHeader);
  CHECK(upstream.scheme == Scheme::kGrpcs);
  CHECK(upstream.pass_host == PassHost::kRewrite);
  CHECK(upstream.retries == 0u);
  CHECK(upstream.retry_timeout == 1500ms);
  CHECK(upstream.timeout->read == 1ms);
  CHECK(upstream.keepalive_pool->size == 5);
  CHECK(upstream.keepalive_pool->idle_timeout == 0ms);
  CHECK(upstream.tls->client_cert_id == "4");
  CHECK(upstream.checks->active.has_value());
  CHECK_FALSE(parsed(parse_upstream(value_of("{nodes: {a: 1}}"))).retries.has_value());
}

TEST_CASE("checks have APISIX's defaults, and what is switched off is not there") {
  const auto checks = [](const std::string& text) {
    return parsed(parse_upstream(value_of("{nodes: {a: 1}, checks: " + text + "}"))).checks;
  };
  const HealthChecks usual = *checks("{active: {}, passive: {}}");
  CHECK(usual.active->path == "/");
  CHECK(usual.active->timeout == 1s);
  CHECK(usual.active->concurrency == 10);
  CHECK(usual.active->interval_healthy == 1s);
  CHECK(usual.active->rules.healthy.count() == 2);
  CHECK(usual.active->rules.unhealthy[404]);
  CHECK(usual.active->rules.successes == 2);
  CHECK(usual.active->rules.http_failures == 5);
  CHECK(usual.active->rules.tcp_failures == 2);
  CHECK(usual.active->rules.timeouts == 3);
  CHECK(usual.passive->healthy[308]);
  CHECK(usual.passive->unhealthy.count() == 3);
  CHECK(usual.passive->successes == 5);
  CHECK(usual.passive->timeouts == 7);

  const HealthChecks written = *checks(
      "{active: {type: https, timeout: 0.5, healthy: {interval: 9, http_statuses: [204]}, unhealthy: "
      "{enabled: "
      "false}}, passive: {type: tcp, healthy: {successes: 0}}}");
  CHECK(written.active->type == ActiveCheck::Type::kHttps);
  CHECK(written.active->timeout == 500ms);
  CHECK(written.active->interval_healthy == 9s);
  CHECK(written.active->interval_unhealthy == 0s);
  CHECK(written.active->rules.healthy[204]);
  CHECK_FALSE(written.active->rules.healthy[200]);
  CHECK_FALSE(written.passive->is_by_status);
  CHECK(written.passive->successes == 0);
  CHECK(written.print != usual.print);

  CHECK_FALSE(checks("{active: {enabled: false}, passive: {}}")->active.has_value());
  CHECK_FALSE(checks("{active: {enabled: false}}").has_value());
  CHECK_FALSE(checks("{}").has_value());
}

TEST_CASE("a wrong check is refused by field") {
  const auto error = [](const std::string& text) {
    return error_of(parse_upstream(value_of("{nodes: {a: 1}, checks: " + text + "}")));
  };
  CHECK(error("{active: {type: udp}}").starts_with("checks.active.type: unknown type `udp`"));
  CHECK(error("{active: {http_path: up}}").starts_with("checks.active.http_path: expected a path"));
  CHECK(error("{active: {http_path: '/a b'}}").starts_with("checks.active.http_path: expected a path"));
  CHECK(error(R"({active: {http_method: "G\r\n"}})").starts_with("checks.active.http_method: "));
  CHECK(error("{active: {host: 'a b'}}").starts_with("checks.active.host: "));
  CHECK(error(R"({active: {req_headers: ["A: b\r\nC: d"]}})").starts_with("checks.active.req_headers: "));
  CHECK(error("{active: {req_headers: ['no field']}}").starts_with("checks.active.req_headers: "));
  CHECK(
      error("{active: {healthy: {http_statuses: [99]}}}")
          .starts_with("checks.active.healthy.http_statuses: expected status codes from 200 to 599, got 99"));
  CHECK(error("{active: {unhealthy: {timeouts: 256}}}").starts_with("checks.active.unhealthy.timeouts: "));
  CHECK(error("{active: {healthy: {interval: 0}}}").starts_with("checks.active.healthy.interval: "));
  CHECK(error("{active: {healthy: {interval: 0.05}}}").starts_with("checks.active.healthy.interval: "));
  CHECK(error("{active: {https_sni: 'a b'}}").starts_with("checks.active.https_sni: "));
  CHECK(error("{passive: {healthy: 7}}").starts_with("checks.passive.healthy: "));
  CHECK(error("7").starts_with("checks: expected"));
}

TEST_CASE("a wrong upstream is refused by field") {
  const auto error = [](std::string_view text) { return error_of(parse_upstream(value_of(text))); };
  CHECK(error("{scheme: htttp}") == "scheme: unknown word `htttp`; did you mean `http`?");
  CHECK(error("{pass_host: rewrite}") ==
        "upstream_host: `upstream_host` can't be empty when `pass_host` is `rewrite`");
  CHECK(error("{type: chash}").starts_with("key: missing key"));
  CHECK(error("{type: chash, hash_on: consumer}").empty());
  CHECK(error("{nodes: 5}").starts_with("nodes: expected a mapping of"));
  CHECK(error("{nodes: {a: -1}}").starts_with("nodes.a: expected a whole number from 0"));
  CHECK(error("{nodes: {a: ~}}") == "nodes.a: expected a weight");
  CHECK(error("{nodes: {'a:99999': 1}}").starts_with("nodes.a:99999: invalid port"));
  CHECK(error("{nodes: {'a:b:c': 1}}").starts_with("nodes.a:b:c: invalid port"));
  CHECK(error("{nodes: {'[::1': 1}}").starts_with("nodes.[::1: not an IPv6 address in brackets"));
  CHECK(error("{nodes: {':80': 1}}").starts_with("nodes.:80: no host"));
  CHECK(error("{scheme: tcp, nodes: {a: 1}}")
            .starts_with("nodes.a: no port, and the scheme tcp has no usual one"));
  CHECK(error("{nodes: [{weight: 1}]}") == "nodes[0].host: missing; give a name or an IP address");
  CHECK(error("{nodes: [7]}") == "nodes[0]: expected a mapping, got 7");
  CHECK(error("{tls: {client_cert: x}}") ==
        "tls: client_cert and client_key go together; give both or neither");
  CHECK(error("{service_name: x}").starts_with("service_name and discovery_type go together"));
  CHECK(error("{keepalive_pool: {size: 0}}").starts_with("keepalive_pool.size: expected"));
}

TEST_CASE("services, consumers and groups carry their fields") {
  const Service service =
      parsed(parse_service(value_of("{id: s, hosts: [A.com], upstream_id: 1, plugins: {x: {}}}")));
  CHECK(service.hosts == std::vector<std::string>{"a.com"});
  CHECK(service.upstream_id == "1");
  const Consumer consumer = parsed(parse_consumer(
      value_of("{username: jack, group_id: 1, labels: {custom_id: c}, plugins: {key-auth: {key: k}}}")));
  CHECK(consumer.group_id == "1");
  CHECK(consumer.plugins[0].conf_json == R"({"key":"k"})");
  CHECK(error_of(parse_consumer(value_of("{}"))) == "username: missing; it names the consumer");
  CHECK(parsed(parse_plugin_group(value_of("{id: g, plugins: {a: {}, b: {}}}"))).plugins.size() == 2);
}

TEST_CASE("a credential belongs to the consumer in its id") {
  const Credential inside =
      parsed(parse_credential(value_of("{id: jack/credentials/one, plugins: {key-auth: {key: k}}}")));
  CHECK(inside.consumer == "jack");
  CHECK(inside.id == "one");
  const Credential outside =
      parsed(parse_credential(value_of("{id: one, plugins: {}}"), "jack/credentials/one"));
  CHECK(outside.consumer == "jack");
  CHECK(error_of(parse_credential(value_of("{id: one}"))).starts_with("id: not the id of a credential"));
  CHECK(error_of(parse_credential(value_of("{id: j/credentials/o, plugins: {a: {}, b: {}}}")))
            .starts_with("plugins: a credential has one plugin"));
}

TEST_CASE("plugin metadata is what stands beside the id") {
  const PluginMetadata metadata =
      parsed(parse_plugin_metadata(value_of("{id: syslog, log_format: {a: $b}}")));
  CHECK(metadata.name == "syslog");
  CHECK(metadata.conf_json == R"({"log_format":{"a":"$b"}})");
  CHECK_FALSE(parse_plugin_metadata(value_of("{a: 1}")));
}

TEST_CASE("an ssl by acme has no certificate, and names that an authority can look at") {
  const Ssl ssl = parsed(parse_ssl(value_of("{snis: [A.com., b-1.com, $env://NAME], acme: true}")));
  CHECK(ssl.is_issued);
  CHECK(ssl.certificates.empty());
  CHECK(
      error_of(parse_ssl(value_of("{snis: [a.com], acme: true, key: k}"))).starts_with("key: stands beside"));
  const std::string longest(63, 'x');
  const auto error = [](const std::string& name) {
    return error_of(parse_ssl(value_of("{snis: ['" + name + "'], acme: true}")));
  };
  for (const std::string& good :
       {longest + ".com", std::string("xn--bcher-kva.com"), std::string("1.a"), std::string("gateway")})
    CHECK(error(good).empty());
  for (const char* bad : {"*.a.com", "10.0.0.1", "::1", "a..com", ".com", "a_b.com", "a b", "-a.com",
                          "a-.com", "a.-com", "a.com-", ".", ""})
    CHECK_FALSE(error(bad).empty());
  CHECK(error("x" + longest + ".com").find("at most 63 bytes") != std::string::npos);

  CHECK(error("b\xc3\xbc"
              "cher.com")
            .find("its form with xn--") != std::string::npos);
  CHECK_FALSE(parsed(parse_ssl(value_of("{sni: a.com, cert: c, key: k, acme: false}"))).is_issued);
}

TEST_CASE("an ssl has pairs of certificates and names in lower case") {
  const Ssl ssl =
      parsed(parse_ssl(value_of("{id: 1, cert: c, key: k, certs: [c2], keys: [k2], snis: [A.com., "
                                "'*.B.com'], client: {ca: x, depth: 2}, ssl_protocols: [TLSv1.3]}")));
  CHECK(ssl.certificates.size() == 2);
  CHECK(ssl.certificates[1].key == "k2");
  CHECK(ssl.snis == std::vector<std::string>{"a.com", "*.b.com"});
  CHECK(ssl.client->depth == 2);
  CHECK(error_of(parse_ssl(value_of("{cert: c, key: k}"))).starts_with("sni: missing"));
  CHECK(error_of(parse_ssl(value_of("{cert: c, key: k, type: client}"))).empty());
  CHECK(error_of(parse_ssl(value_of("{cert: c, key: k, sni: a, certs: [c2]}"))) ==
        "certs: mismatched number of certs and keys");
  CHECK(error_of(parse_ssl(value_of("{key: k, sni: a}"))).starts_with("cert: missing"));
}
