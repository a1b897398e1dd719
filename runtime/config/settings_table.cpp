// SPDX-License-Identifier: Apache-2.0
// Every setting of the `moongate:` section, once. The order is that of the documentation.
#include "config/settings_table.h"

#include <array>

#include "config/acme_values.h"
#include "config/etcd_values.h"
#include "config/metrics_values.h"
#include "config/setting_values.h"

namespace moongate::config {

namespace {

using S = Settings;
using Text = std::string;
using Texts = std::vector<std::string>;
using Policy = http::UriPolicy;

constexpr std::string_view kAddress = "an address (`ADDRESS:PORT`, a port, `unix:PATH`) or off";
constexpr std::string_view kTraffic = "{extra_labels: [{NAME: $VARIABLE}], expire}";
constexpr double kHour = 3600;
constexpr double kDay = 86400;
constexpr uint32_t kBillion = 1'000'000'000;
constexpr uint32_t kKilobyte = 1024;
constexpr uint32_t kMegabyte = 1048576;

constexpr std::array<std::string_view, 3> kSlashWords{"refuse", "keep", "decode"};
constexpr std::array<std::string_view, 3> kParameterWords{"refuse", "keep", "strip"};
constexpr std::array<std::string_view, 3> kRouterWords{"radixtree_host_uri", "radixtree_uri",
                                                       "radixtree_uri_with_parameter"};
constexpr std::array<std::string_view, 2> kAdminVersionWords{"v3", "v2"};
constexpr std::array<std::string_view, 2> kAcmeKeyWords{"ecdsa", "rsa"};
constexpr std::array<std::string_view, 9> kLevelWords{"stderr", "emerg",  "alert", "crit", "error",
                                                      "warn",   "notice", "info",  "debug"};

const Setting kProcess[] = {
    {"workers", OwnSlot{"auto, or a whole number from 0 to 256", read_workers, write_workers},
     "Processes that serve requests: auto is one per core; 0 serves in a single process, for debuggers."},
    {"listen",
     OwnSlot{"a list of ports, addresses, or {address, tls, http1, http2, http3, proxy_protocol}",
             read_listen, write_listen},
     "Where clients connect; a bare port means every IPv4 address."},
    {"admin.listen",
     TextSlot{[](S& s) -> Text& { return s.admin.listen; }, true, normalize_listen_address, kAddress},
     "Where the Admin API listens."},
    {"admin.key",
     TextSlot{[](S& s) -> Text& { return s.admin.key; }, false, normalize_admin_key, "a text of your own"},
     "The key the Admin API asks for; when none is given, one is made at the first start and kept in "
     "admin.key."},
    {"admin.admin_key",
     OwnSlot{"a list of {name, key, role}, where role is admin or viewer", read_admin_keys, write_admin_keys},
     "Further keys, each with a name for the audit log; a viewer may only read."},
    {"admin.allow_admin",
     TextListSlot{[](S& s) -> Texts& { return s.admin.allow_admin; }, 1000, normalize_network,
                  "an IP address or a network such as 10.0.0.0/8"},
     "From where the Admin API may be called; over a unix socket it always may."},
    {"admin.hosts",
     TextListSlot{[](S& s) -> Texts& { return s.admin.hosts; }, 100, normalize_text, "a host name"},
     "Names by which browsers may call the Admin API, beside localhost and IP addresses; pages of other "
     "hosts "
     "are refused."},
    {"admin.api_version",
     ChoiceSlot{kAdminVersionWords, [](const S& s) { return static_cast<size_t>(s.admin.api_version); },
                [](S& s, size_t i) { s.admin.api_version = static_cast<AdminApiVersion>(i); }},
     "The form of the Admin API's answers: APISIX's of today, or {action, node, count} as APISIX 2 gave "
     "them."},
    {"metrics.listen",
     TextSlot{[](S& s) -> Text& { return s.metrics.listen; }, true, normalize_listen_address, kAddress},
     "Where the Prometheus page is served."},
    {"metrics.path",
     TextSlot{[](S& s) -> Text& { return s.metrics.path; }, false, normalize_page_path,
              "a path such as /metrics"},
     "The path of that page; /metrics is always one as well."},
    {"metrics.prefix",
     TextSlot{[](S& s) -> Text& { return s.metrics.prefix; }, true, normalize_metric_prefix,
              "letters, digits and `_`, or off"},
     "What the names of metrics begin with that APISIX has too."},
    {"metrics.series_max", CountSlot{[](S& s) -> uint32_t& { return s.metrics.series_max; }, 1000, 4'000'000},
     "How many label sets there may be, of all metrics together; further ones of a metric share one, "
     "`overflow=\"true\"`."},
    {"metrics.latency_buckets",
     OwnSlot{"a list of 1 to 64 numbers, rising", read_latency_buckets, write_latency_buckets},
     "Upper bounds of the buckets of apisix_http_latency, in milliseconds."},
    {"metrics.http_status",
     OwnSlot{kTraffic, read_traffic_metric<TrafficMetric::kHttpStatus>,
             write_traffic_metric<TrafficMetric::kHttpStatus>},
     "Further labels of apisix_http_status, each with the value of a variable; and after how many seconds "
     "without a request a label set leaves the page (0: never)."},
    {"metrics.http_latency",
     OwnSlot{kTraffic, read_traffic_metric<TrafficMetric::kHttpLatency>,
             write_traffic_metric<TrafficMetric::kHttpLatency>},
     "The same for apisix_http_latency."},
    {"metrics.bandwidth",
     OwnSlot{kTraffic, read_traffic_metric<TrafficMetric::kBandwidth>,
             write_traffic_metric<TrafficMetric::kBandwidth>},
     "The same for apisix_bandwidth."},
    {"control.listen",
     TextSlot{[](S& s) -> Text& { return s.control.listen; }, true, normalize_listen_address, kAddress},
     "Where the Control API (/v1/...) listens."},
};

const Setting kClient[] = {
    {"client.header_timeout",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.client.header_timeout; }, 0.001, kHour},
     "How long a client may take to send a whole request head."},
    {"client.body_timeout",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.client.body_timeout; }, 0.001, kHour},
     "How long a client may pause within a request body."},
    {"client.send_timeout",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.client.send_timeout; }, 0.001, kHour},
     "How long a client may take none of an answer that waits for it."},
    {"client.keepalive_timeout",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.client.keepalive_timeout; }, 0, kDay},
     "How long a connection may idle between requests; 0 closes it after each."},
    {"client.keepalive_requests",
     CountSlot{[](S& s) -> uint32_t& { return s.client.keepalive_requests; }, 1, kBillion},
     "How many requests one connection may carry."},
    {"client.header_max_kb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.header_max_kb; }, 1, 1024, kKilobyte},
     "The largest request head, in kilobytes; a larger one is answered 431."},
    {"client.header_fields_max",
     CountSlot{[](S& s) -> uint32_t& { return s.client.header_fields_max; }, 1, 10'000},
     "The most header fields in one request; more are answered 431."},
    {"client.body_max_mb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.body_max_mb; }, 0, 1'048'576, kMegabyte},
     "The largest request body, in megabytes; a larger one is answered 413, and 0 sets no limit."},
    {"client.http2_streams_max",
     CountSlot{[](S& s) -> uint32_t& { return s.client.http2_streams_max; }, 1, 10'000},
     "How many requests one HTTP/2 connection may have under way."},
    {"client.http2_window_kb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.http2_window_kb; }, 64, 16'384, kKilobyte},
     "How much of a request's body an HTTP/2 client may send ahead of the upstream, in kilobytes; of all "
     "requests of a "
     "connection together eight times that."},
    {"client.http2_resets_max",
     CountSlot{[](S& s) -> uint32_t& { return s.client.http2_resets_max; }, 1, 1'000'000},
     "How many requests an HTTP/2 client may cancel or break in ten seconds; beyond, the connection ends."},
    {"client.body_memory_kb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.body_memory_kb; }, 16, 65'536, kKilobyte},
     "How much of a request body that is collected for a plugin stays in memory; more goes to a file."},
    {"client.body_disk_max_mb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.body_disk_max_mb; }, 0, 1'048'576, kMegabyte},
     "What all such files of one worker may take together; a body beyond it is answered 507."},
    {"client.coding_memory_mb",
     CountSlot{[](S& s) -> uint32_t& { return s.client.coding_memory_mb; }, 0, 65'536, kMegabyte},
     "What coders of answers (gzip, br, zstd) may take together in one worker; beyond it answers go "
     "uncoded."},
    {"client.revocation_grace",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.client.revocation_grace; }, 0, kDay},
     "How long requests and streams may go on at most once the credential that let them in is removed or "
     "changed."},
};

const Setting kLogs[] = {
    {"access_log.path",
     TextSlot{[](S& s) -> Text& { return s.access_log.path; }, true, normalize_text, "a path or off"},
     "The file that gets a line for each request."},
    {"access_log.format",
     TextSlot{[](S& s) -> Text& { return s.access_log.format; }, false, normalize_log_format,
              "combined, json, or a text with $variables"},
     "What a line looks like."},
    {"error_log.path",
     TextSlot{[](S& s) -> Text& { return s.error_log.path; }, true, normalize_text, "a path or off"},
     "The file that gets errors and notices; off writes them to stderr."},
    {"error_log.level",
     ChoiceSlot{kLevelWords, [](const S& s) { return static_cast<size_t>(s.error_log.level); },
                [](S& s, size_t i) { s.error_log.level = static_cast<base::LogLevel>(i); }},
     "The least serious message that is written."},
};

const Setting kNetwork[] = {
    {"trusted_addresses",
     TextListSlot{[](S& s) -> Texts& { return s.trusted_addresses; }, 1000, normalize_network,
                  "an IP address, a network such as 10.0.0.0/8, or unix:"},
     "Peers whose forwarded headers and PROXY protocol are believed."},
    {"dns.hosts", OwnSlot{"a mapping of names to an IP address or another name", read_hosts, write_hosts},
     "Names that are not asked of DNS, as in /etc/hosts."},
    {"dns.servers",
     TextListSlot{[](S& s) -> Texts& { return s.dns.servers; }, 16, normalize_dns_server,
                  "an IP address, with or without a port"},
     "DNS servers; none means those of /etc/resolv.conf."},
    {"dns.timeout", SecondsSlot{[](S& s) -> Milliseconds& { return s.dns.timeout; }, 0.001, 300},
     "How long one lookup may take altogether."},
    {"dns.ttl_max", SecondsSlot{[](S& s) -> Milliseconds& { return s.dns.ttl_max; }, 1, 7 * kDay},
     "The longest an answer is kept, whatever it says itself."},
    {"dns.negative_ttl", SecondsSlot{[](S& s) -> Milliseconds& { return s.dns.negative_ttl; }, 0, kHour},
     "How long it is remembered that a name has no address."},
};

const Setting kScript[] = {
    {"plugin_paths",
     TextListSlot{[](S& s) -> Texts& { return s.plugin_paths; }, 64, normalize_text, "a path"},
     "Folders with plugins of your own: NAME.lua, or apisix/plugins/NAME.lua below them."},
    {"script.cpu_budget_ms", CountSlot{[](S& s) -> uint32_t& { return s.script.cpu_budget_ms; }, 1, 60'000},
     "CPU time one call into a plugin may take, in milliseconds."},
    {"script.memory_max_mb",
     CountSlot{[](S& s) -> uint32_t& { return s.script.memory_max_mb; }, 16, 65'536, kMegabyte},
     "Memory that the Lua of one worker may use, in megabytes."},
    {"script.quarantine_after",
     CountSlot{[](S& s) -> uint32_t& { return s.script.quarantine_after; }, 0, 10'000},
     "After how many calls over its CPU budget, in all workers together, a plugin is put in quarantine; 0 is "
     "never."},
    {"script.stall_ms", CountSlot{[](S& s) -> uint32_t& { return s.script.stall_ms; }, 0, 60'000},
     "A turn of a worker's loop that takes longer than so many milliseconds is logged, with the place in the "
     "plugin; 0 is off."},
    {"script.wall_budget_ms",
     CountSlot{[](S& s) -> uint32_t& { return s.script.wall_budget_ms; }, 0, 86'400'000},
     "How long plugins may wait in one phase of one request, in milliseconds; more is answered 504, and 0 "
     "sets "
     "no limit."},
    {"script.watchdog_ms", CountSlot{[](S& s) -> uint32_t& { return s.script.watchdog_ms; }, 200, 60'000},
     "After how many milliseconds without a turn of its loop a worker is killed and replaced."},
    {"shared_memory.limiter_mb",
     CountSlot{[](S& s) -> uint32_t& { return s.shared_memory.limiter_mb; }, 1, 65'536, kMegabyte},
     "Memory for limits shared by the workers, in megabytes; each key takes 16 bytes."},
    {"shared_memory.dicts", OwnSlot{"a mapping of names to sizes from 4k to 64g", read_dicts, write_dicts},
     "Dictionaries that plugins share between workers (ngx.shared.NAME)."},
    {"secrets.ttl", SecondsSlot{[](S& s) -> Milliseconds& { return s.secrets.ttl; }, 0.1, kDay},
     "After how long the manager is asked again for what a $secret:// reference stands for."},
    {"secrets.retry_after",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.secrets.retry_after; }, 0.1, kHour},
     "After how long it is asked again when there was no value to be had."},
    {"secrets.stale", SecondsSlot{[](S& s) -> Milliseconds& { return s.secrets.stale; }, 0, 7 * kDay},
     "How much longer than its ttl a value is used while its manager does not answer."},
    {"data_encryption.keyring",
     TextListSlot{[](S& s) -> Texts& { return s.data_encryption.keyring; }, 16, normalize_cipher_key,
                  "a key of 16 or 32 bytes"},
     "Keys under which the Admin API keeps passwords and keys: the first encrypts, all decrypt; none leaves "
     "them as they are."},
    {"data_encryption.enable_encrypt_fields",
     BoolSlot{[](S& s) -> bool& { return s.data_encryption.enable_encrypt_fields; }},
     "Whether the keyring is used."},
};

const Setting kRequests[] = {
    {"uri.encoded_slash",
     ChoiceSlot{kSlashWords, [](const S& s) { return static_cast<size_t>(s.uri.encoded_slash); },
                [](S& s, size_t i) { s.uri.encoded_slash = static_cast<Policy::EncodedSlash>(i); }},
     "What %2F in a path is: refused with 400, kept as it is, or a slash; the same for matching and "
     "forwarding."},
    {"uri.path_parameters",
     ChoiceSlot{kParameterWords, [](const S& s) { return static_cast<size_t>(s.uri.path_parameters); },
                [](S& s, size_t i) { s.uri.path_parameters = static_cast<Policy::PathParameters>(i); }},
     "What `;` in a path is: refused with 400, a character like any other, or removed up to the next slash."},
    {"uri.merge_slashes", BoolSlot{[](S& s) -> bool& { return s.uri.merge_slashes; }},
     "Whether `//` in a path becomes `/`."},
    {"router",
     ChoiceSlot{kRouterWords, [](const S& s) { return static_cast<size_t>(s.router); },
                [](S& s, size_t i) { s.router = static_cast<RouterKind>(i); }},
     "How routes are found: by host and then path, by path, or by path with `:name` parameters."},
    {"drain_timeout", SecondsSlot{[](S& s) -> Milliseconds& { return s.drain_timeout; }, 0, kDay},
     "How long requests may still run in a process that is being replaced or stopped."},
    {"server_header",
     TextSlot{[](S& s) -> Text& { return s.server_header; }, true, normalize_text, "a text or off"},
     "The Server header of answers."},
    {"via", BoolSlot{[](S& s) -> bool& { return s.via; }},
     "Whether a Via header is added in both directions."},
    {"upstream.keepalive_size",
     CountSlot{[](S& s) -> uint32_t& { return s.upstream.keepalive_size; }, 0, 65'536},
     "Idle connections a worker keeps to one upstream that sets no pool of its own."},
    {"upstream.keepalive_timeout",
     SecondsSlot{[](S& s) -> Milliseconds& { return s.upstream.keepalive_timeout; }, 0, kDay},
     "How long such a connection may idle."},
    {"upstream.keepalive_requests",
     CountSlot{[](S& s) -> uint32_t& { return s.upstream.keepalive_requests; }, 1, kBillion},
     "How many requests such a connection may carry."},
    {"upstream.tls_verify", BoolSlot{[](S& s) -> bool& { return s.upstream.tls_verify; }},
     "Whether nodes behind https must show a certificate that is trusted and for their name; an upstream's "
     "tls.verify goes before it."},
    {"upstream.tls_trusted_certificate",
     TextSlot{[](S& s) -> Text& { return s.upstream.tls_trusted_certificate; }, true, normalize_text,
              "a path or off"},
     "A file of PEM certificates: the authorities that nodes and servers asked by plugins are verified "
     "against; off means the system's."},
    {"upstream.health_checks", BoolSlot{[](S& s) -> bool& { return s.upstream.health_checks; }},
     "Whether `checks` of upstreams are made; without them every node is taken for healthy."},
};

const Setting kTls[] = {
    {"tls.ciphers",
     TextSlot{[](S& s) -> Text& { return s.tls.ciphers; }, true, normalize_text,
              "a list of OpenSSL's cipher names, separated by colons, or off"},
     "Cipher suites of TLS 1.2 (and 1.1) towards clients, in OpenSSL's notation; off takes those with "
     "ECDHE and AES-GCM or ChaCha20."},
    {"tls.fallback_sni",
     TextSlot{[](S& s) -> Text& { return s.tls.fallback_sni; }, true, normalize_text, "a host name or off"},
     "Clients that name no host in the handshake are taken to name this one; off gives them the "
     "certificate for `*`, or none."},
    {"tls.ticket_key_file",
     TextSlot{[](S& s) -> Text& { return s.tls.ticket_key_file; }, true, normalize_text, "a path or off"},
     "A file with 32 to 4096 random bytes that several machines share, so that each resumes the sessions of "
     "the others; off keeps keys of its own in DIR/ticket.key."},
};

const Setting kEtcd[] = {
    {"etcd.host",
     OwnSlot{"off, a URL such as http://127.0.0.1:2379, or a list of at most 16", read_etcd_host,
             write_etcd_host},
     "The etcd that keeps what the Admin API makes, for all gateways that name it; off keeps it in "
     "DIR/store, "
     "for this gateway alone."},
    {"etcd.prefix",
     TextSlot{[](S& s) -> Text& { return s.etcd.prefix; }, false, normalize_etcd_prefix,
              "a path such as /apisix"},
     "Before the keys of everything that is kept there."},
    {"etcd.timeout", SecondsSlot{[](S& s) -> Milliseconds& { return s.etcd.timeout; }, 0.1, 300},
     "How long one question to etcd may take; a write never waits longer than 10 seconds."},
    {"etcd.watch_timeout", SecondsSlot{[](S& s) -> Milliseconds& { return s.etcd.watch_timeout; }, 1, kHour},
     "After how long without a word the connection that tells of changes is made anew."},
    {"etcd.user", TextSlot{[](S& s) -> Text& { return s.etcd.user; }, true, normalize_text, "a text or off"},
     "Whom to authenticate as."},
    {"etcd.password",
     TextSlot{[](S& s) -> Text& { return s.etcd.password; }, true, normalize_text, "a text or off"},
     "And with what."},
    {"etcd.tls", OwnSlot{"{cert, key, trusted_certificate, sni, verify}", read_etcd_tls, write_etcd_tls},
     "For https: the certificate and key to show, as paths; the authorities to trust, as a path (the "
     "system's "
     "when left out); the name to ask for and verify; whether to verify."},
};

const Setting kAcme[] = {
    {"acme.directory",
     TextSlot{[](S& s) -> Text& { return s.acme.directory; }, false, normalize_acme_directory,
              "a URL such as https://ca.example/acme/directory"},
     "The authority that makes the certificates of `ssls` with `acme: true`."},
    {"acme.contact",
     TextListSlot{[](S& s) -> Texts& { return s.acme.contact; }, 10, normalize_acme_contact,
                  "an address such as mailto:ops@example.org"},
     "Where the authority may write to; it is told when the account is made."},
    {"acme.agree_to_terms", BoolSlot{[](S& s) -> bool& { return s.acme.agree_to_terms; }},
     "Whether you agree to the authority's terms of service; nothing is asked of it without."},
    {"acme.trusted_certificate",
     TextSlot{[](S& s) -> Text& { return s.acme.trusted_certificate; }, true, normalize_text,
              "a path or off"},
     "A file of PEM certificates: what the authority's own server is verified against; off means the "
     "system's."},
    {"acme.key_type",
     ChoiceSlot{kAcmeKeyWords, [](const S& s) { return static_cast<size_t>(s.acme.is_rsa); },
                [](S& s, size_t i) { s.acme.is_rsa = i == 1; }},
     "The keys that certificates are made for: on P-256, or RSA with 2048 bits."},
    {"acme.renew_before", OwnSlot{"seconds, from 0 to 31536000", read_renew_before, write_renew_before},
     "How long before its end a certificate is renewed, in seconds, but never before half of its time is "
     "over; 0: when a third of its time is left."},
    {"acme.external_account", OwnSlot{"off, or {key_id, key}", read_external_account, write_external_account},
     "For authorities that want accounts to belong to one they know: its key's id and the key (HMAC, "
     "Base64 for URLs), as they gave it."},
};

constexpr Shorthand kShorthands[] = {{"admin", "admin.listen"},       {"metrics", "metrics.listen"},
                                     {"control", "control.listen"},   {"access_log", "access_log.path"},
                                     {"error_log", "error_log.path"}, {"etcd", "etcd.host"}};

}  // namespace

std::span<const Setting> settings_table() {
  static const std::vector<Setting> table = [] {
    std::vector<Setting> all;
    for (const std::span<const Setting> part :
         {std::span<const Setting>(kProcess), std::span<const Setting>(kClient),
          std::span<const Setting>(kLogs), std::span<const Setting>(kNetwork),
          std::span<const Setting>(kScript), std::span<const Setting>(kRequests),
          std::span<const Setting>(kTls), std::span<const Setting>(kEtcd), std::span<const Setting>(kAcme)}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return table;
}

std::span<const Shorthand> settings_shorthands() { return kShorthands; }

}  // namespace moongate::config
