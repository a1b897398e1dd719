// SPDX-License-Identifier: Apache-2.0
// The `moongate:` section: what concerns the process and not one route. Every setting is declared once, in
// settings_table.cpp, with its type, range and a sentence; reading, writing and the documentation follow that
// table.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/value.h"
#include "config/places.h"
#include "http/uri.h"

namespace moongate::config {

using Milliseconds = std::chrono::milliseconds;

/// Addresses below are "127.0.0.1:80", "[::1]:80" or "unix:PATH", as net::parse_listen_address reads them.
struct ListenSettings {
  std::string address;
  bool tls = false;
  bool http1 = true;
  bool http2 = false;
  bool http3 = false;  // on datagrams to the same port
  bool proxy_protocol = false;
  bool operator==(const ListenSettings&) const = default;
};

/// One key of the Admin API, as APISIX's `admin_key` lists them.
struct AdminKey {
  std::string name;
  std::string key;
  bool is_viewer = false;  // may only read
  bool operator==(const AdminKey&) const = default;
};

/// The form of the Admin API's answers: APISIX's of today, or the one it had up to 2.15.
enum class AdminApiVersion : uint8_t { kV3, kV2 };

struct AdminSettings {
  std::string listen = "127.0.0.1:9180";  // empty: off
  std::string key;                        // empty, and no admin_key: made at the first start
  std::vector<AdminKey> admin_key;
  std::vector<std::string> allow_admin{"127.0.0.0/8", "::1"};  // IP, CIDR or "unix:"
  std::vector<std::string> hosts;                              // beside IP addresses and localhost
  AdminApiVersion api_version = AdminApiVersion::kV3;
};

struct PageSettings {
  std::string listen;  // empty: off
};

/// A label whose value a variable has for each request.
struct ExtraLabel {
  std::string name;
  std::string variable;  // without `$`
  bool operator==(const ExtraLabel&) const = default;
};

/// One of the metrics that plugin prometheus counts.
struct TrafficMetricSettings {
  std::vector<ExtraLabel> extra_labels;
  std::chrono::seconds expire{0};  // 0: never
  bool operator==(const TrafficMetricSettings&) const = default;
};

enum class TrafficMetric : uint8_t { kHttpStatus, kHttpLatency, kBandwidth };
inline constexpr size_t kTrafficMetricCount = 3;

struct MetricsSettings {
  std::string listen = "127.0.0.1:9091";  // empty: off
  std::string path = "/apisix/prometheus/metrics";
  std::string prefix = "apisix_";  // of the names that are APISIX's
  uint32_t series_max = 20'000;
  std::vector<double> latency_buckets_ms{1,   2,    5,    10,   20,    50,    100,  200,
                                         500, 1000, 2000, 5000, 10000, 30000, 60000};
  std::array<TrafficMetricSettings, kTrafficMetricCount> traffic;
  const TrafficMetricSettings& of(TrafficMetric metric) const { return traffic[static_cast<size_t>(metric)]; }
  bool operator==(const MetricsSettings&) const = default;
};

struct ClientSettings {
  Milliseconds header_timeout{60'000};
  Milliseconds body_timeout{60'000};
  Milliseconds send_timeout{60'000};
  Milliseconds keepalive_timeout{75'000};
  uint32_t keepalive_requests = 10'000;
  uint32_t header_max_kb = 32;
  uint32_t header_fields_max = 100;
  uint32_t body_max_mb = 0;  // 0: no limit
  uint32_t http2_streams_max = 128;
  uint32_t http2_window_kb = 128;
  uint32_t http2_resets_max = 200;
  uint32_t body_memory_kb = 1'024;
  uint32_t body_disk_max_mb = 4'096;
  uint32_t coding_memory_mb = 128;
  Milliseconds revocation_grace{500};
};

struct AccessLogSettings {
  std::string path;                 // empty: off
  std::string format = "combined";  // "combined", "json", or a text with $variables
};

struct ErrorLogSettings {
  std::string path;  // empty: stderr
  base::LogLevel level = base::LogLevel::kWarn;
};

struct DnsSettings {
  std::map<std::string, std::string> hosts;  // lower-case name to address or another name
  std::vector<std::string> servers;          // empty: /etc/resolv.conf
  Milliseconds timeout{5'000};
  Milliseconds ttl_max{3'600'000};
  Milliseconds negative_ttl{1'000};
};

struct ScriptSettings {
  uint32_t cpu_budget_ms = 50;
  uint32_t memory_max_mb = 256;
  uint32_t quarantine_after = 20;  // calls over the CPU budget; 0: never
  uint32_t watchdog_ms = 2'000;
  uint32_t wall_budget_ms = 60'000;  // 0: none
  uint32_t stall_ms = 100;           // 0: off
};

struct SharedMemorySettings {
  uint32_t limiter_mb = 64;
  std::map<std::string, uint64_t> dicts;  // name to size in bytes
};

struct UpstreamSettings {
  uint32_t keepalive_size = 320;
  Milliseconds keepalive_timeout{60'000};
  uint32_t keepalive_requests = 1'000;
  bool tls_verify = true;
  std::string tls_trusted_certificate;  // a path; empty: the system's
  bool health_checks = true;
  bool operator==(const UpstreamSettings&) const = default;
};

struct TlsSettings {
  std::string ciphers;          // of TLS 1.2 and older; empty: those with forward secrecy and authentication
  std::string fallback_sni;     // whose certificate clients without SNI get; empty: that of `*` or none
  std::string ticket_key_file;  // empty: keys of our own, kept in DIR
};

/// Of values that a secret manager gave.
struct SecretSettings {
  Milliseconds ttl{300'000};
  Milliseconds retry_after{5'000};
  Milliseconds stale{3'600'000};
};

/// As APISIX's `data_encryption`.
struct DataEncryptionSettings {
  std::vector<std::string> keyring;
  bool enable_encrypt_fields = true;
};

struct EtcdTls {
  std::string cert;  // paths; empty: no certificate is shown
  std::string key;
  std::string trusted_certificate;  // a path; empty: the system's
  std::string sni;                  // empty: the host's name
  bool verify = true;
  bool operator==(const EtcdTls&) const = default;
};

/// The store that several gateways share, as APISIX's `deployment.etcd` has it.
struct EtcdSettings {
  std::vector<std::string> host;  // "http://HOST:PORT"; none: the store is DIR/store, this gateway's own
  std::string prefix = "/apisix";
  Milliseconds timeout{30'000};
  Milliseconds watch_timeout{50'000};
  std::string user;  // empty: none is named
  std::string password;
  EtcdTls tls;
  bool is_used() const { return !host.empty(); }
  bool operator==(const EtcdSettings&) const = default;
};

/// How certificates for `ssls` with `acme: true` are got (RFC 8555).
struct AcmeSettings {
  std::string directory = "https://acme-v02.api.letsencrypt.org/directory";
  std::vector<std::string> contact;      // "mailto:..."
  bool agree_to_terms = false;           // to those of the authority
  std::string trusted_certificate;       // a path; empty: the system's
  bool is_rsa = false;                   // the keys that certificates are for
  std::chrono::seconds renew_before{0};  // their end; 0: when a third of their time is left
  std::string external_key_id;           // of an account that the authority has already; empty: none
  std::string external_key;              // Base64 for URLs
  bool is_used() const { return agree_to_terms; }
  bool operator==(const AcmeSettings&) const = default;
};

enum class RouterKind : uint8_t { kHostUri, kUri, kUriWithParameter };

struct Settings {
  std::optional<uint32_t> workers;  // nothing: one per core; 0: a single process
  std::vector<ListenSettings> listen{{"0.0.0.0:8080"}};
  AdminSettings admin;
  MetricsSettings metrics;
  PageSettings control;
  ClientSettings client;
  AccessLogSettings access_log;
  ErrorLogSettings error_log;
  std::vector<std::string> trusted_addresses;  // IP, CIDR or "unix:"
  DnsSettings dns;
  std::vector<std::string> plugin_paths;
  ScriptSettings script;
  SharedMemorySettings shared_memory;
  SecretSettings secrets;
  DataEncryptionSettings data_encryption;
  http::UriPolicy uri;
  RouterKind router = RouterKind::kHostUri;
  Milliseconds drain_timeout{240'000};
  std::string server_header = "Moongate";  // empty: none is sent
  bool via = false;
  UpstreamSettings upstream;
  TlsSettings tls;
  EtcdSettings etcd;
  AcmeSettings acme;
};

/// From the value of `moongate:`; null gives the defaults. Errors name place, setting and what would be
/// right.
base::Result<Settings> parse_settings(const base::Value& value, const Places& places);

/// Every setting, defaults included, in the form that parse_settings reads.
base::Value settings_to_value(const Settings& settings);
/// Canonical JSON of the same, for snapshots.
std::string settings_to_json(const Settings& settings);
base::Result<Settings> settings_from_json(std::string_view text);

/// All settings as a Markdown table: name, type and range, default, meaning.
std::string describe_settings();

}  // namespace moongate::config
