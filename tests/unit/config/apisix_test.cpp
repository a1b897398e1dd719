// SPDX-License-Identifier: Apache-2.0
// What becomes of the keys of APISIX's config.yaml; tests/e2e/apisix_files_test.py runs gateways on such
// files.
#include "config/apisix.h"

#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/apisix_rules.h"
#include "config/settings_table.h"
#include "config/yaml_reader.h"

using namespace moongate::config;
using moongate::base::to_json;
using moongate::base::Value;

namespace {

struct Made {
  std::string settings;  // JSON of `moongate:`
  std::string findings;
};

Made translate(const std::string& yaml) {
  Places places;
  REQUIRE(places.add("config.yaml"));
  const auto root = read_yaml(yaml, 0);
  REQUIRE(root);
  REQUIRE(is_apisix_file(*root));
  DialectTranslation translation = translate_apisix(*root, places);
  Made made{to_json(*translation.root.find("moongate")), ""};
  for (const DialectFinding& finding : translation.findings) made.findings += finding.text + "\n";
  return made;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every rule that names a setting names one there is") {
  for (const ApisixRule& rule : apisix_rules()) {
    if (rule.setting.empty()) continue;
    INFO(rule.key);
    bool is_there = false;
    for (const Setting& setting : settings_table()) is_there |= setting.name == rule.setting;
    CHECK(is_there);
  }
}

TEST_CASE("a file is APISIX's when it has a section of its own and none of ours") {
  const auto is_apisix = [](const char* yaml) { return is_apisix_file(*read_yaml(yaml, 0)); };
  CHECK(is_apisix("apisix: {node_listen: 1}"));
  CHECK(is_apisix("deployment: {}"));
  CHECK_FALSE(is_apisix("routes: []"));
  CHECK_FALSE(is_apisix("apisix: {}\nmoongate: {}"));
  CHECK_FALSE(is_apisix("[apisix]"));
}

TEST_CASE("health checks are made unless they are switched off") {
  CHECK(contains(translate("apisix: {disable_upstream_healthcheck: true}").settings,
                 R"("upstream":{"health_checks":false})"));
  CHECK_FALSE(contains(translate("apisix: {disable_upstream_healthcheck: false}").settings, "health_checks"));
}

TEST_CASE("times have nginx's units") {
  for (const auto& [written, seconds] :
       {std::pair("60s", "60"), {"2m", "120"}, {"500ms", "0.5"}, {"7", "7"}, {"1h", "3600"}}) {
    INFO(written);
    const Made made = translate("nginx_config: {http: {send_timeout: " + std::string(written) + "}}");
    CHECK(contains(made.settings, "\"send_timeout\":" + std::string(seconds)));
  }
  for (const char* bad : {"soon", "-1s", "1y", "[1]", "99999999999s"}) {
    INFO(bad);
    CHECK(contains(translate("nginx_config: {http: {send_timeout: " + std::string(bad) + "}}").findings,
                   "expected a time such as 60s"));
  }
}

TEST_CASE("whatever is not v3 is the version of the Admin API's answers before it") {
  const auto made = [](const std::string& version) {
    return translate("deployment: {admin: {admin_api_version: " + version + "}}");
  };
  CHECK(contains(made("v3").settings, "\"api_version\":\"v3\""));
  for (const char* other : {"v2", "default", "3"}) {
    INFO(other);
    CHECK(contains(made(other).settings, "\"api_version\":\"v2\""));
    CHECK_FALSE(contains(made(other).findings, "admin_api_version"));
  }
  CHECK_FALSE(contains(made("").settings, "api_version"));
}

TEST_CASE("listeners are what several keys say together") {
  const Made made = translate(
      "apisix: {node_listen: [1, {port: 2, ip: '::1', enable_http2: false}], enable_ipv6: false, ssl: "
      "{listen: [{port: 3, enable_http3: true}]},"
      " proxy_protocol: {listen_http_port: 4}}");
  CHECK(contains(made.settings, R"({"address":"0.0.0.0:1","http2":true})"));
  CHECK(contains(made.settings, R"({"address":"[::1]:2"})"));
  CHECK(contains(made.settings, R"({"address":"0.0.0.0:3","tls":true,"http2":true})"));
  CHECK(contains(made.settings, R"({"address":"0.0.0.0:4","http2":true,"proxy_protocol":true})"));
  CHECK(contains(made.findings, "HTTP/3 is not in this version"));
}

TEST_CASE("what is as it is by default is not spoken of, and what is not known is lost") {
  CHECK(translate("apisix: {delete_uri_tail_slash: false, proxy_mode: http}\ndeployment: {role_traditional: "
                  "{config_provider: yaml}}")
            .findings.empty());
  const Made made = translate("apisix:\n  new_thing: {deep: 1}\n  delete_uri_tail_slash: true\n");
  CHECK(contains(made.findings, "config.yaml:2: apisix.new_thing.deep: unknown here"));
  CHECK(contains(made.findings, "config.yaml:3: apisix.delete_uri_tail_slash: "));
}

TEST_CASE("an etcd that is named is the store, unless the provider is a file") {
  const std::string etcd = "etcd: {host: ['http://10.0.0.1:2379'], prefix: /apisix, startup_retry: 2}";
  const Made made = translate("deployment: {" + etcd + "}");
  CHECK(contains(made.settings, R"("etcd":{"host":["http://10.0.0.1:2379"],"prefix":"/apisix"})"));
  CHECK(made.findings.empty());
  CHECK_FALSE(contains(
      translate("deployment: {role_traditional: {config_provider: yaml}, " + etcd + "}").settings, "2379"));
  CHECK(contains(translate("apisix: {}").findings, "name it under `deployment.etcd`"));
}

TEST_CASE("an address is believed only from those who are trusted, by the field that is read here") {
  const std::string from = "nginx_config: {http: {real_ip_from: [10.0.0.1], real_ip_header: ";
  CHECK(contains(translate(from + "X-Forwarded-For, real_ip_recursive: on}}").settings,
                 R"("trusted_addresses":["10.0.0.1"])"));
  const Made other = translate(from + "X-Real-IP}}");
  CHECK_FALSE(contains(other.settings, "trusted_addresses"));
  CHECK(contains(other.findings, "real_ip_header: a client's address"));
}

TEST_CASE("the flag at the end of a file may be followed by line ends only") {
  CHECK(has_end_flag("routes: []\n#END\n"));
  CHECK(has_end_flag("#END"));
  CHECK_FALSE(has_end_flag("routes: []\n#END\nmore: 1"));
  CHECK_FALSE(has_end_flag(""));
}
