// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "base/json.h"
#include "config/document.h"

using namespace moongate;
using namespace moongate::config;

namespace {

base::Result<Document> read(const char* json) {
  auto root = base::parse_json(json);
  REQUIRE(root.ok());
  return make_document(root.take(), Places());
}

std::string fault_of(const char* json) {
  const auto document = read(json);
  REQUIRE_FALSE(document.ok());
  return document.error().detail;
}

}  // namespace

TEST_CASE("APISIX's deployment.etcd is the shared store, and survives being written and read") {
  const auto document =
      read(R"({"deployment": {"role": "traditional", "role_traditional": {"config_provider": "etcd"},
               "etcd": {"host": ["http://127.0.0.1:2379", "https://b.example:2379/"], "prefix": "/gate/",
                        "timeout": 7, "watch_timeout": 20, "startup_retry": 2, "user": "u", "password": "p",
                        "tls": {"cert": "a.crt", "key": "a.key", "sni": "etcd", "verify": false}}}})");
  REQUIRE(document.ok());
  const EtcdSettings& etcd = document->settings.etcd;
  CHECK(etcd.host == std::vector<std::string>{"http://127.0.0.1:2379", "https://b.example:2379"});
  CHECK(etcd.prefix == "/gate");
  CHECK(etcd.timeout == Milliseconds(7000));
  CHECK(etcd.user == "u");
  CHECK(etcd.tls.cert == "a.crt");
  CHECK(etcd.tls.sni == "etcd");
  CHECK_FALSE(etcd.tls.verify);
  const auto again = settings_from_json(settings_to_json(document->settings));
  REQUIRE(again.ok());
  CHECK(again->etcd == etcd);
}

TEST_CASE("without it the store is the gateway's own, and moongate.etcd says the same as deployment.etcd") {
  CHECK(read("{}")->settings.etcd.host.empty());
  const auto own = read(R"({"moongate": {"etcd": "http://127.0.0.1:2379"}})");
  REQUIRE(own.ok());
  CHECK(own->settings.etcd.host.size() == 1);
  CHECK(own->settings.etcd.prefix == "/apisix");
  CHECK(own->settings.etcd.tls.verify);
}

TEST_CASE("what cannot be meant is refused with what would be right") {
  CHECK(fault_of(R"({"deployment": {"etcd": {"host": ["127.0.0.1:2379"]}}})") ==
        "line 1: moongate.etcd.host[0]: expected a URL such as http://127.0.0.1:2379 or "
        "https://etcd.example:2379, "
        "got \"127.0.0.1:2379\"");
  CHECK(fault_of(R"({"deployment": {"etcd": {}}})").find("`host` is missing") != std::string::npos);
  CHECK(fault_of(R"({"deployment": {"role": "traditional"}})").find("`etcd` is missing") !=
        std::string::npos);
  CHECK(fault_of(R"({"deployment": {"role": "data_plane", "etcd": {"host": "http://a"}}})")
            .find("`traditional`") != std::string::npos);
  CHECK(
      fault_of(R"({"deployment": {"admin": {}, "etcd": {"host": "http://a"}}})").find("under `moongate:`") !=
      std::string::npos);
  CHECK(fault_of(R"({"deployment": {"etcd": {"host": "http://a"}}, "moongate": {"etcd": "http://b"}})")
            .find("remove one") != std::string::npos);
  CHECK(fault_of(R"({"deployment": {"etcd": {"host": "http://a", "prefx": "/x"}}})")
            .find("did you mean `prefix`") != std::string::npos);
  CHECK(fault_of(R"({"moongate": {"etcd": {"host": "http://a", "tls": {"cert": "x"}}}})")
            .find("belong together") != std::string::npos);
  CHECK(fault_of(R"({"moongate": {"etcd": {"host": "http://a", "prefix": "x"}}})").find("a path such as") !=
        std::string::npos);
}
