// SPDX-License-Identifier: Apache-2.0
// Routes, services, upstreams, consumers and the rest as plain data, ready for the data path. They are made
// from values that passed the schema; a value that did not gives an error, never a crash. Units are in the
// types; names are APISIX's.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/value.h"
#include "config/health_checks.h"

namespace moongate::config {

using Labels = std::vector<std::pair<std::string, std::string>>;

struct PluginConf {
  std::string name;
  std::string conf_json;     // canonical
  bool is_disabled = false;  // _meta.disable
};

struct Timeouts {
  std::chrono::milliseconds connect{60'000};
  std::chrono::milliseconds send{60'000};
  std::chrono::milliseconds read{60'000};
};

struct Node {
  std::string host;  // without brackets
  uint16_t port = 0;
  uint32_t weight = 1;
  int32_t priority = 0;
  base::Value metadata;  // null when there is none
};

struct KeepalivePool {
  uint32_t size = 320;
  std::chrono::milliseconds idle_timeout{60'000};
  uint32_t requests = 1'000;
};

struct UpstreamTls {
  std::string client_cert_id;
  std::string client_cert;
  std::string client_key;
  std::optional<bool> verify;  // nothing: as moongate.upstream.tls_verify says
};

enum class Scheme : uint8_t { kHttp, kHttps, kGrpc, kGrpcs, kTcp, kTls, kUdp, kKafka };
enum class PassHost : uint8_t { kPass, kNode, kRewrite };
enum class HashOn : uint8_t { kVars, kHeader, kCookie, kConsumer, kVarsCombinations };

struct Upstream {
  std::string id;
  std::string name;
  Labels labels;
  std::vector<Node> nodes;   // in file order
  std::string service_name;  // with discovery_type: nodes come from there
  std::string discovery_type;
  base::Value discovery_args;
  std::string type = "roundrobin";
  HashOn hash_on = HashOn::kVars;
  std::string key;
  Scheme scheme = Scheme::kHttp;
  PassHost pass_host = PassHost::kPass;
  std::string upstream_host;
  std::optional<uint32_t> retries;             // nothing: one less than there are nodes
  std::chrono::milliseconds retry_timeout{0};  // 0: none
  std::optional<Timeouts> timeout;
  std::optional<KeepalivePool> keepalive_pool;
  std::optional<UpstreamTls> tls;
  std::optional<HealthChecks> checks;
};

struct Route {
  std::string id;
  std::string name;
  Labels labels;
  std::vector<std::string> uris;
  std::vector<std::string> hosts;  // lower case; empty: the service's, or any
  std::vector<std::string> methods;
  std::vector<std::string> remote_addrs;
  base::Value vars;  // null when there are none
  int32_t priority = 0;
  std::string filter_func;
  std::optional<bool> enable_websocket;  // nothing: as the service says
  bool is_enabled = true;                // status 1
  std::optional<Timeouts> timeout;
  std::string plugin_config_id;
  std::string service_id;
  std::string upstream_id;
  std::vector<PluginConf> plugins;
  std::optional<Upstream> upstream;
};

struct Service {
  std::string id;
  std::string name;
  Labels labels;
  std::vector<std::string> hosts;  // lower case
  std::optional<bool> enable_websocket;
  std::string upstream_id;
  std::vector<PluginConf> plugins;
  std::optional<Upstream> upstream;
};

struct Consumer {
  std::string username;
  std::string group_id;
  Labels labels;
  std::vector<PluginConf> plugins;
};

struct Credential {
  std::string consumer;  // username
  std::string id;        // the part after USERNAME/credentials/
  std::string name;
  Labels labels;
  std::vector<PluginConf> plugins;
};

/// Consumer groups, plugin configs and global rules: an id and plugins.
struct PluginGroup {
  std::string id;
  Labels labels;
  std::vector<PluginConf> plugins;
};
using ConsumerGroup = PluginGroup;
using PluginConfig = PluginGroup;
using GlobalRule = PluginGroup;

struct PluginMetadata {
  std::string name;  // the plugin's
  std::string conf_json;
};

struct CertificatePair {
  std::string cert;
  std::string key;
};

struct SslClient {
  std::string ca;
  uint32_t depth = 1;
  std::vector<std::string> skip_mtls_uri_regex;
};

struct OcspStapling {
  bool is_enabled = false;
  bool skip_verify = false;   // whoever signed the answer is believed
  uint32_t cache_ttl = 3600;  // seconds after which another answer is fetched at the latest
  std::string file;           // where the answer is found, instead of the responder
  bool operator==(const OcspStapling&) const = default;
};

struct Ssl {
  std::string id;
  Labels labels;
  bool is_client = false;                     // type client: for use towards upstreams
  std::vector<CertificatePair> certificates;  // at least one, but for is_issued
  std::vector<std::string> snis;              // lower case, without a trailing dot
  std::optional<SslClient> client;
  bool is_enabled = true;
  std::vector<std::string> ssl_protocols;
  OcspStapling ocsp_stapling;
  bool is_issued = false;  // `acme: true`: without certificates here, see tls/issued.h
};

base::Result<Route> parse_route(const base::Value& body);
base::Result<Service> parse_service(const base::Value& body);
base::Result<Upstream> parse_upstream(const base::Value& body);
base::Result<Consumer> parse_consumer(const base::Value& body);
/// `resource_id` is "USERNAME/credentials/ID", where the body does not carry it.
base::Result<Credential> parse_credential(const base::Value& body, std::string_view resource_id = {});
base::Result<PluginGroup> parse_plugin_group(const base::Value& body);
base::Result<PluginMetadata> parse_plugin_metadata(const base::Value& body);
base::Result<Ssl> parse_ssl(const base::Value& body);
/// The names in `sni` and `snis` as a handshake compares them, also of a certificate that is wrong otherwise;
/// references stay as they are.
std::vector<std::string> certificate_names(const base::Value& body);
/// Those of them that the environment has under a reference; the name itself when it is none.
std::vector<std::string> resolve_certificate_name(const std::string& name);

/// "http" and so on; 0 when the scheme has no port of its own.
std::string_view scheme_name(Scheme scheme);
uint16_t scheme_port(Scheme scheme);

/// Splits "host", "host:port" or "[v6]:port"; `port` stays as it is when none is written.
base::Result<void> split_node_address(std::string_view text, std::string* host, uint16_t* port);

}  // namespace moongate::config
