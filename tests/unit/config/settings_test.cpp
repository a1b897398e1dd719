// SPDX-License-Identifier: Apache-2.0
// The `moongate:` section: defaults, every form a setting may take, and what is said about wrong ones.
#include "config/settings.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/setting_values.h"
#include "config/settings_table.h"
#include "config/yaml_reader.h"

using namespace moongate::config;
using moongate::base::Value;
using namespace std::chrono_literals;

namespace {

Settings settings_of(std::string_view text) {
  const auto value = read_yaml(text, 0);
  REQUIRE(value);
  auto settings = parse_settings(*value, Places());
  INFO((settings ? "" : settings.error().detail));
  REQUIRE(settings);
  return settings.take();
}

std::string error_of(std::string_view text) {
  const auto value = read_yaml(text, 0);
  REQUIRE(value);
  Places places;
  REQUIRE(places.add("a.yaml"));
  const auto settings = parse_settings(*value, places);
  return settings ? "" : settings.error().detail;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kEverything = R"(
workers: 4
listen: [8080, "127.0.0.1:81", "[::1]:82", "unix:/run/m.sock", {address: "0.0.0.0:8443", tls: true, http1: false, http2: true, proxy_protocol: true}]
admin: {listen: "127.0.0.1:9280", key: secret}
metrics: {listen: "unix:/run/metrics.sock", path: /m, prefix: "", series_max: 5000, latency_buckets: [0.005, 1, 2.5],
          http_status: {extra_labels: [{up: $upstream_addr}, {_v: $http_x_version}]}, bandwidth: {expire: 600}}
control: {listen: "127.0.0.1:9090"}
client: {header_timeout: 1.5, body_timeout: 2, send_timeout: 3, keepalive_timeout: 0, keepalive_requests: 5,
         header_max_kb: 64k, header_fields_max: 7, body_max_mb: 1g, body_memory_kb: 2m, body_disk_max_mb: 9,
         coding_memory_mb: 3, revocation_grace: 0.1}
access_log: {path: access.log, format: json}
error_log: {path: error.log, level: info}
trusted_addresses: [10.0.0.0/8, "::1", "unix:"]
dns: {hosts: {Order-Service: 127.0.0.1, alias: order-service}, servers: [127.0.0.1, "127.0.0.1:5353", "[::1]:53"], timeout: 2, ttl_max: 60, negative_ttl: 3}
plugin_paths: [my/plugins]
script: {cpu_budget_ms: 20, memory_max_mb: 128}
shared_memory: {limiter_mb: 16, dicts: {my-dict: 1m, small: 8192}}
uri: {encoded_slash: keep, path_parameters: strip, merge_slashes: no}
router: radixtree_uri_with_parameter
drain_timeout: 10
server_header: off
via: on
upstream: {keepalive_size: 32, keepalive_timeout: 6, keepalive_requests: 100}
acme: {directory: 'https://ca.test/dir', contact: ['mailto:a@b.c'], agree_to_terms: true, key_type: rsa, renew_before: 60,
       trusted_certificate: ca.pem, external_account: {key_id: k, key: c2VjcmV0}}
)";

}  // namespace

TEST_CASE("without a section, the defaults hold") {
  const Settings settings = settings_of("");
  CHECK_FALSE(settings.workers.has_value());
  CHECK(settings.listen == std::vector<ListenSettings>{{"0.0.0.0:8080"}});
  CHECK(settings.admin.listen == "127.0.0.1:9180");
  CHECK(settings.metrics.listen == "127.0.0.1:9091");
  CHECK(settings.control.listen.empty());
  CHECK(settings.client.keepalive_timeout == 75s);
  CHECK(settings.access_log.path.empty());
  CHECK(settings.drain_timeout == 240s);
  CHECK(settings.upstream.keepalive_size == 320);
}

TEST_CASE("every setting is read") {
  const Settings s = settings_of(kEverything);
  CHECK(s.workers == 4u);
  REQUIRE(s.listen.size() == 5);
  CHECK(s.listen[0].address == "0.0.0.0:8080");
  CHECK(s.listen[2].address == "[::1]:82");
  CHECK(s.listen[3].address == "unix:/run/m.sock");
  CHECK(s.listen[4] == ListenSettings{"0.0.0.0:8443", true, false, true, false, true});
  CHECK(s.admin.key == "secret");
  CHECK(s.metrics.listen == "unix:/run/metrics.sock");
  CHECK(s.metrics.path == "/m");
  CHECK(s.metrics.prefix.empty());
  CHECK(s.metrics.series_max == 5000);
  CHECK(s.metrics.latency_buckets_ms == std::vector<double>{0.005, 1, 2.5});
  CHECK(s.metrics.of(TrafficMetric::kHttpStatus).extra_labels ==
        std::vector<ExtraLabel>{{"up", "upstream_addr"}, {"_v", "http_x_version"}});
  CHECK(s.metrics.of(TrafficMetric::kBandwidth).expire == 600s);
  CHECK(s.client.header_timeout == 1500ms);
  CHECK(s.client.keepalive_timeout == 0ms);
  CHECK(s.client.header_max_kb == 64);
  CHECK(s.client.body_max_mb == 1024);
  CHECK(s.client.body_memory_kb == 2048);
  CHECK(s.client.body_disk_max_mb == 9);
  CHECK(s.client.coding_memory_mb == 3);
  CHECK(s.client.revocation_grace == 100ms);
  CHECK(s.access_log.format == "json");
  CHECK(s.error_log.level == moongate::base::LogLevel::kInfo);
  CHECK(s.trusted_addresses.size() == 3);
  CHECK(s.dns.hosts.at("order-service") == "127.0.0.1");
  CHECK(s.dns.hosts.at("alias") == "order-service");
  CHECK(s.dns.servers[1] == "127.0.0.1:5353");
  CHECK(s.shared_memory.dicts.at("my-dict") == 1048576);
  CHECK(s.shared_memory.dicts.at("small") == 8192);
  CHECK(s.uri.encoded_slash == moongate::http::UriPolicy::EncodedSlash::kKeep);
  CHECK(s.uri.path_parameters == moongate::http::UriPolicy::PathParameters::kStrip);
  CHECK_FALSE(s.uri.merge_slashes);
  CHECK(s.router == RouterKind::kUriWithParameter);
  CHECK(s.server_header.empty());
  CHECK(s.via);
  CHECK(s.acme ==
        AcmeSettings{"https://ca.test/dir", {"mailto:a@b.c"}, true, "ca.pem", true, 60s, "k", "c2VjcmV0"});
}

TEST_CASE("settings survive the way through JSON, and the writing is canonical") {
  for (const std::string_view text : {std::string_view(""), kEverything}) {
    const std::string json = settings_to_json(settings_of(text));
    const auto again = settings_from_json(json);
    INFO(json);
    INFO((again ? "" : again.error().detail));
    REQUIRE(again);
    CHECK(settings_to_json(*again) == json);
  }
  CHECK(settings_to_json(settings_of("")) != settings_to_json(settings_of(kEverything)));
}

TEST_CASE("a section may be written short") {
  CHECK(settings_of("admin: off").admin.listen.empty());
  CHECK(settings_of("admin: 'off'").admin.listen.empty());
  CHECK(settings_of("metrics: 9191").metrics.listen == "0.0.0.0:9191");
  CHECK(settings_of("control: '127.0.0.1:9090'").control.listen == "127.0.0.1:9090");
  CHECK(settings_of("access_log: off").access_log.path.empty());
  CHECK(settings_of("access_log: logs/a.log").access_log.path == "logs/a.log");
  CHECK(settings_of("workers: auto").workers == std::nullopt);
  CHECK(settings_of("listen: 81").listen[0].address == "0.0.0.0:81");
  CHECK(settings_of("client: ~\nvia: ~\n").client.header_max_kb == 32);
}

TEST_CASE("unknown settings are refused with file, line and a suggestion") {
  CHECK(error_of("workers: 1\nworker: 2\n") ==
        "a.yaml:2: moongate: unknown key `worker`; did you mean `workers`?");
  CHECK(error_of("client:\n  header_timeuot: 1\n") ==
        "a.yaml:2: moongate.client: unknown key `header_timeuot`; did you mean `header_timeout`?");
  CHECK(contains(error_of("listen:\n  - {adress: '1'}\n"), "`address` is missing"));
  CHECK(error_of("listen:\n  - {address: 80, tsl: true}\n") ==
        "a.yaml:2: moongate.listen[0]: unknown key `tsl`; did you mean `tls`?");
  CHECK(error_of("uri: {encoded_slash: refsue}") ==
        "a.yaml:1: moongate.uri.encoded_slash: unknown word `refsue`; did you mean `refuse`?");
}

TEST_CASE("wrong types and ranges are refused with what would be right") {
  CHECK(error_of("workers: 1000") ==
        "a.yaml:1: moongate.workers: expected auto or a whole number from 0 to 256, got 1000");
  CHECK(error_of("client: {header_timeout: fast}") ==
        "a.yaml:1: moongate.client.header_timeout: expected seconds from 0.001 to 3600, got \"fast\"");
  CHECK(error_of("client: {header_fields_max: 1.5}") ==
        "a.yaml:1: moongate.client.header_fields_max: expected a whole number from 1 to 10000, got 1.5");
  CHECK(error_of("via: 1") == "a.yaml:1: moongate.via: expected true or false, got 1");
  CHECK(error_of("script: 5") == "a.yaml:1: moongate.script: expected a mapping, got 5");
  CHECK(error_of("[1]") == "a.yaml:1: moongate: expected a mapping of settings, got a list");
  CHECK(error_of("listen: [80, 80]") ==
        "a.yaml:1: moongate.listen[1]: the address 0.0.0.0:80 is listed twice; remove one");
  CHECK(contains(error_of("listen: [localhost:80]"), "moongate.listen[0]: expected a port"));
  CHECK(contains(error_of("listen: []"), "moongate.listen: expected 1 to 256 addresses"));
  CHECK(error_of("listen: [{address: 80, http1: false}]") ==
        "a.yaml:1: moongate.listen[0].http1: without HTTP/1.1 nothing is spoken here; add `http2: true`, or "
        "leave this out");
  CHECK(contains(error_of("listen: [{address: 80, tls: 1}]"),
                 "moongate.listen[0].tls: expected true or false, got 1"));
  CHECK(contains(error_of("trusted_addresses: [10.0.0.0/33]"),
                 "moongate.trusted_addresses[0]: expected an IP address, a network"));
  CHECK(contains(error_of("shared_memory: {dicts: {a: 1x}}"),
                 "moongate.shared_memory.dicts.a: expected a size from 4k to 64g"));
  CHECK(contains(error_of("shared_memory: {dicts: {'a b': 1m}}"),
                 "moongate.shared_memory.dicts.a b: not a name"));
  CHECK(contains(error_of("dns: {hosts: {a: 'b c'}}"),
                 "moongate.dns.hosts.a: expected an IP address or another name"));
  CHECK(contains(error_of("dns: {servers: ['127.0.0.1:0']}"),
                 "moongate.dns.servers[0]: expected an IP address"));
  CHECK(contains(error_of("access_log: {path: a, format: pretty}"),
                 "moongate.access_log.format: expected combined, json"));
  CHECK(contains(error_of("access_log: true"), "moongate.access_log.path: expected a path or off, got true"));
  CHECK(contains(error_of("error_log: {level: loud}"), "moongate.error_log.level: unknown word `loud`"));
  CHECK(contains(error_of("admin: {key: ''}"), "moongate.admin.key: expected a text of your own, got \"\""));
  CHECK(contains(error_of("client: {body_max_mb: 1k}"),
                 "moongate.client.body_max_mb: expected a whole number"));
}

TEST_CASE("every setting is described once, and its default is what parsing nothing gives") {
  const std::string text = describe_settings();
  for (const Setting& setting : settings_table()) {
    const std::string name = "| `" + std::string(setting.name) + "` |";
    INFO(name);
    CHECK(contains(text, name));
    CHECK(text.find(name) == text.rfind(name));
    CHECK(setting.prose.ends_with('.'));
  }
  CHECK(contains(text, "| `client.header_timeout` | seconds from 0.001 to 3600 | `60` |"));
  CHECK(contains(text,
                 "| `router` | one of radixtree_host_uri, radixtree_uri, radixtree_uri_with_parameter |"));
}

TEST_CASE("sizes are read with their units") {
  CHECK(parse_size("0") == 0u);
  CHECK(parse_size("512k") == 524288u);
  CHECK(parse_size("1M") == 1048576u);
  CHECK(parse_size("2gb") == uint64_t{2} << 30);
  for (const char* bad :
       {"", "k", "-1", "1.5m", "1t", "1 m", "99999999999999999999", "18446744073709551615k"}) {
    INFO(bad);
    CHECK_FALSE(parse_size(bad).has_value());
  }
  CHECK(size_text(1048576) == "1m");
  CHECK(size_text(1536) == "1536");
  CHECK(size_text(8192) == "8k");
}

TEST_CASE("addresses to listen on are made canonical or refused") {
  CHECK(normalize_listen_address("80") == "0.0.0.0:80");
  CHECK(normalize_listen_address("*:80") == "0.0.0.0:80");
  CHECK(normalize_listen_address("127.0.0.1:080") == "127.0.0.1:80");
  for (const char* bad : {"", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3:80", "::1:80", "[::1]",
                          "[::1]80", "[::1", "unix:", "localhost:80", "80x", "-1"}) {
    INFO(bad);
    CHECK_FALSE(normalize_listen_address(bad).has_value());
  }
  CHECK_FALSE(normalize_listen_address("unix:/" + std::string(120, 'x')).has_value());
}

TEST_CASE("what cannot be a metric's label, bucket, path or prefix is refused") {
  const auto refused = [](const std::string& metrics, std::string_view what) {
    const std::string error = error_of("metrics: {" + metrics + "}");
    INFO(metrics << " -> " << error);
    CHECK(contains(error, "a.yaml:1: moongate.metrics."));
    CHECK(contains(error, what));
  };
  refused("latency_buckets: [1, 1]", "latency_buckets[1]: expected milliseconds");
  refused("latency_buckets: [1, 1.0001]", "latency_buckets[1]");
  refused("latency_buckets: [0]", "from 0.001");
  refused("latency_buckets: []", "a list of 1 to 64 numbers");
  refused("latency_buckets: 5", "a list of 1 to 64 numbers");
  refused("http_status: {extra_labels: [{code: $status}]}", "has a label \"code\" already");
  refused("http_status: {extra_labels: [{a: $x}, {a: $y}]}", "extra_labels[1]: the metric has a label \"a\"");
  refused("http_status: {extra_labels: [{a-b: $x}]}", "\"a-b\" cannot be a label");
  refused("http_status: {extra_labels: [{__a: $x}]}", "cannot be a label");
  refused("http_status: {extra_labels: [{a: x}]}", "expected a variable such as $upstream_addr");
  refused("http_status: {extra_labels: [{a: $x, b: $y}]}", "expected {NAME: $VARIABLE}");
  refused("bandwidth: {expire: -1}", "bandwidth.expire: expected whole seconds");
  refused("bandwidth: {labels: []}", "labels");
  refused("bandwidth: 5", "expected {extra_labels, expire}");
  refused("path: metrics", "a path such as /metrics");
  refused("path: '/a?b'", "a path such as /metrics");
  refused("prefix: 'a-'", "letters, digits");
  refused("series_max: 5", "1000 to 4000000");
}
