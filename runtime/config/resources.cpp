// SPDX-License-Identifier: Apache-2.0
// All resources but the upstream, which has a file of its own (upstream_parser.cpp).
#include "config/resources.h"

#include "base/ascii.h"
#include "base/json.h"
#include "config/resource_parts.h"
#include "config/secret_reference.h"
#include "config/setting_values.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr std::string_view kCredentialMark = "/credentials/";
constexpr int64_t kCacheTtlMax = 365 * 86400;
constexpr int64_t kPriorityMax = 2'000'000'000;

template <class T>
Result<T> finish(const FieldReader& fields, T value) {
  if (!fields.ok()) return fields.error();
  return value;
}

void read_status(FieldReader& fields, bool* is_enabled) {
  int64_t status = 1;
  fields.read_whole("status", 0, 1, &status);
  *is_enabled = status == 1;
}

void read_certificates(FieldReader& fields, std::vector<CertificatePair>* pairs) {
  CertificatePair first;
  std::vector<std::string> certs;
  std::vector<std::string> keys;
  fields.read("cert", &first.cert);
  fields.read("key", &first.key);
  fields.read("certs", &certs);
  fields.read("keys", &keys);
  if (first.cert.empty()) fields.fail("cert", "missing; give a certificate in PEM form");
  if (first.key.empty()) fields.fail("key", "missing; give the certificate's private key in PEM form");
  if (certs.size() != keys.size()) fields.fail("certs", "mismatched number of certs and keys");
  if (!fields.ok()) return;
  pairs->push_back(std::move(first));
  for (size_t i = 0; i < certs.size(); ++i) pairs->push_back({std::move(certs[i]), std::move(keys[i])});
}

void read_ssl_client(FieldReader& fields, std::optional<SslClient>* client) {
  const Value* written = fields.find_object("client");
  if (written == nullptr) return;
  FieldReader reader(*written, fields.path("client"));
  SslClient read;
  int64_t depth = read.depth;
  reader.read("ca", &read.ca);
  if (read.ca.empty()) reader.fail("ca", "missing; give the CA's certificate in PEM form");
  reader.read_whole("depth", 0, 100, &depth);
  reader.read("skip_mtls_uri_regex", &read.skip_mtls_uri_regex);
  if (!reader.ok()) return fields.fail_with(reader.error());
  read.depth = static_cast<uint32_t>(depth);
  *client = std::move(read);
}

void read_stapling(FieldReader& fields, OcspStapling* stapling) {
  const Value* written = fields.find_object("ocsp_stapling");
  if (written == nullptr) return;
  FieldReader reader(*written, fields.path("ocsp_stapling"));
  int64_t cache_ttl = stapling->cache_ttl;
  reader.read("enabled", &stapling->is_enabled);
  reader.read("skip_verify", &stapling->skip_verify);
  reader.read_whole("cache_ttl", 60, kCacheTtlMax, &cache_ttl);
  reader.read("file", &stapling->file);
  if (!stapling->file.empty() && stapling->file[0] != '/') reader.fail("file", "expected an absolute path");
  if (!reader.ok()) return fields.fail_with(reader.error());
  stapling->cache_ttl = static_cast<uint32_t>(cache_ttl);
}

void split_credential_id(std::string_view id, Credential* credential) {
  const size_t mark = id.find(kCredentialMark);
  if (mark == id.npos) {
    credential->id = id;
    return;
  }
  credential->consumer = id.substr(0, mark);
  credential->id = id.substr(mark + kCredentialMark.size());
}

}  // namespace

void lower_case(std::vector<std::string>* texts) {
  for (std::string& text : *texts) text = base::lower_case(std::move(text));
}

void read_labels(FieldReader& fields, Labels* labels) {
  const Value* written = fields.find_object("labels");
  if (written == nullptr) return;
  for (const Value::Member& member : written->members()) {
    if (!member.second.is_string()) {
      return fields.fail("labels." + member.first, "expected a text, got " + describe_value(member.second));
    }
    labels->emplace_back(member.first, member.second.as_string());
  }
}

void read_plugins(FieldReader& fields, std::vector<PluginConf>* plugins) {
  const Value* written = fields.find_object("plugins");
  if (written == nullptr) return;
  for (const Value::Member& member : written->members()) {
    const auto& [name, conf] = member;
    if (!conf.is_object()) {
      return fields.fail("plugins." + name,
                         "expected a mapping ({} for the defaults), got " + describe_value(conf));
    }
    const Value* meta = conf.find("_meta");
    plugins->push_back(
        {name, base::to_json(conf, true), meta != nullptr && meta->get_bool("disable", false)});
  }
}

void read_timeouts(FieldReader& fields, std::optional<Timeouts>* timeouts) {
  const Value* written = fields.find_object("timeout");
  if (written == nullptr) return;
  FieldReader reader(*written, fields.path("timeout"));
  Timeouts read;
  reader.read_seconds("connect", &read.connect);
  reader.read_seconds("send", &read.send);
  reader.read_seconds("read", &read.read);
  if (!reader.ok()) return fields.fail_with(reader.error());
  *timeouts = read;
}

void read_upstream(FieldReader& fields, std::optional<Upstream>* upstream) {
  const Value* written = fields.find_object("upstream");
  if (written == nullptr) return;
  Result<Upstream> parsed = parse_upstream_at(*written, fields.path("upstream"));
  if (!parsed) return fields.fail_with(parsed.error());
  *upstream = parsed.take();
}

Result<Route> parse_route(const Value& body) {
  FieldReader fields(body, "");
  Route route;
  int64_t priority = 0;
  fields.read_id("id", &route.id);
  fields.read("name", &route.name);
  read_labels(fields, &route.labels);
  fields.read_one_or_many("uri", "uris", &route.uris);
  fields.read_one_or_many("host", "hosts", &route.hosts);
  lower_case(&route.hosts);
  fields.read("methods", &route.methods);
  fields.read_one_or_many("remote_addr", "remote_addrs", &route.remote_addrs);
  if (const Value* vars = fields.find_list("vars")) route.vars = *vars;
  fields.read_whole("priority", -kPriorityMax, kPriorityMax, &priority);
  route.priority = static_cast<int32_t>(priority);
  fields.read("filter_func", &route.filter_func);
  fields.read("enable_websocket", &route.enable_websocket);
  read_status(fields, &route.is_enabled);
  read_timeouts(fields, &route.timeout);
  fields.read_id("plugin_config_id", &route.plugin_config_id);
  fields.read_id("service_id", &route.service_id);
  fields.read_id("upstream_id", &route.upstream_id);
  read_plugins(fields, &route.plugins);
  read_upstream(fields, &route.upstream);
  if (route.uris.empty()) fields.fail("uri", "missing; give uri or uris");
  return finish(fields, std::move(route));
}

Result<Service> parse_service(const Value& body) {
  FieldReader fields(body, "");
  Service service;
  fields.read_id("id", &service.id);
  fields.read("name", &service.name);
  read_labels(fields, &service.labels);
  fields.read("hosts", &service.hosts);
  lower_case(&service.hosts);
  fields.read("enable_websocket", &service.enable_websocket);
  fields.read_id("upstream_id", &service.upstream_id);
  read_plugins(fields, &service.plugins);
  read_upstream(fields, &service.upstream);
  return finish(fields, std::move(service));
}

Result<Consumer> parse_consumer(const Value& body) {
  FieldReader fields(body, "");
  Consumer consumer;
  fields.read("username", &consumer.username);
  if (consumer.username.empty()) fields.fail("username", "missing; it names the consumer");
  fields.read_id("group_id", &consumer.group_id);
  read_labels(fields, &consumer.labels);
  read_plugins(fields, &consumer.plugins);
  return finish(fields, std::move(consumer));
}

Result<Credential> parse_credential(const Value& body, std::string_view resource_id) {
  FieldReader fields(body, "");
  Credential credential;
  std::string id;
  fields.read_id("id", &id);
  split_credential_id(resource_id.empty() ? std::string_view(id) : resource_id, &credential);
  if (credential.consumer.empty() || credential.id.empty()) {
    fields.fail("id", "not the id of a credential; write USERNAME/credentials/ID");
  }
  fields.read("name", &credential.name);
  read_labels(fields, &credential.labels);
  read_plugins(fields, &credential.plugins);
  if (credential.plugins.size() > 1)
    fields.fail("plugins", "a credential has one plugin; make a credential for each");
  return finish(fields, std::move(credential));
}

Result<PluginGroup> parse_plugin_group(const Value& body) {
  FieldReader fields(body, "");
  PluginGroup group;
  fields.read_id("id", &group.id);
  read_labels(fields, &group.labels);
  read_plugins(fields, &group.plugins);
  return finish(fields, std::move(group));
}

Result<PluginMetadata> parse_plugin_metadata(const Value& body) {
  FieldReader fields(body, "");
  PluginMetadata metadata;
  fields.read("id", &metadata.name);
  if (metadata.name.empty()) fields.fail("id", "missing; it names the plugin");
  if (!fields.ok()) return fields.error();
  Value conf = body;
  conf.remove("id");
  metadata.conf_json = base::to_json(conf, true);
  return metadata;
}

namespace {

std::string normalize_sni(std::string name) {
  name = base::lower_case(std::move(name));
  if (name.ends_with('.')) name.pop_back();
  return name;
}

}  // namespace

std::vector<std::string> certificate_names(const Value& body) {
  std::vector<std::string> names;
  const auto add = [&names](const Value& name) {
    std::string text = name.is_string() ? name.as_string() : std::string();
    if (!is_reference(text)) text = normalize_sni(std::move(text));
    if (!text.empty()) names.push_back(std::move(text));
  };
  if (const Value* name = body.find("sni")) add(*name);
  if (const Value* list = body.find("snis"); list != nullptr && list->is_array()) {
    for (const Value& name : list->items()) add(name);
  }
  return names;
}

std::vector<std::string> resolve_certificate_name(const std::string& name) {
  if (!is_reference(name)) return {name};
  Result<Value> found = resolve_reference(name, process_environment());
  if (!found) return {};
  Value names = Value::object();
  const bool is_list = found->is_array();
  names.set(is_list ? "snis" : "sni", found.take());
  return certificate_names(names);
}

namespace {

constexpr size_t kIssuedNamesMax = 100;  // that authorities take in one certificate
constexpr size_t kDnsNameMax = 253;
constexpr size_t kDnsLabelMax = 63;

bool is_dns_label(std::string_view label) {
  return !label.empty() && label.size() <= kDnsLabelMax && label.front() != '-' && label.back() != '-' &&
         label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == label.npos;
}

/// Names are in lower case, and without a dot at their end.
bool is_dns_name(std::string_view name) {
  if (name.size() > kDnsNameMax) return false;
  for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    if (!is_dns_label(name.substr(0, dot))) return false;
    name.remove_prefix(dot + 1);
  }
  return is_dns_label(name);
}

/// Why no authority makes a certificate for a name after a look at a file of its server; empty when one does.
std::string describe_unissued(const std::string& name) {
  if (name.find('*') != name.npos)
    return "`acme` makes no wildcard certificates in this version; name each host, or give `cert` and `key`";
  const bool is_unicode = std::any_of(name.begin(), name.end(), [](char c) { return (c & 0x80) != 0; });
  if (is_unicode)
    return "authorities know names in ASCII only; write " + name +
           " in its form with xn-- (`idn2 NAME` tells)";
  const bool is_address =
      !name.empty() && (name.find_first_not_of("0123456789.") == name.npos || name.find(':') != name.npos);
  if (is_address) return "`acme` makes no certificates for addresses; give a host name, or `cert` and `key`";
  if (!is_dns_name(name))
    return "expected a host name: parts of letters, digits and `-`, each of at most 63 bytes and without `-` "
           "at its ends, with `.` between them, got '" +
           name + "'";
  return "";
}

void read_issued(FieldReader& fields, const Value& body, Ssl* ssl) {
  for (const char* name : {"cert", "key", "certs", "keys"}) {
    if (body.find(name) != nullptr)
      return fields.fail(name, "stands beside `acme: true`, which brings its own; remove one of them");
  }
  if (ssl->is_client)
    return fields.fail("type", "a certificate of type client is not made by `acme`; give `cert` and `key`");
  if (ssl->ocsp_stapling.is_enabled)
    return fields.fail("ocsp_stapling", "certificates by `acme` are not stapled in this version; remove it");
  if (ssl->snis.size() > kIssuedNamesMax)
    return fields.fail("snis", "more than 100 names; `acme` makes one certificate for them all, so split it");
  for (const std::string& sni : ssl->snis) {
    if (is_reference(sni)) continue;
    if (const std::string fault = describe_unissued(sni); !fault.empty())
      return fields.fail(body.find("sni") != nullptr ? "sni" : "snis", fault);
  }
}

}  // namespace

Result<Ssl> parse_ssl(const Value& body) {
  FieldReader fields(body, "");
  Ssl ssl;
  std::string type = "server";
  fields.read_id("id", &ssl.id);
  read_labels(fields, &ssl.labels);
  fields.read("type", &type);
  if (type != "server" && type != "client") fields.fail("type", "expected server or client, got " + type);
  ssl.is_client = type == "client";
  fields.read("acme", &ssl.is_issued);
  if (!ssl.is_issued) read_certificates(fields, &ssl.certificates);
  fields.read_one_or_many("sni", "snis", &ssl.snis);
  for (std::string& sni : ssl.snis) sni = normalize_sni(std::move(sni));
  if (!ssl.is_client && ssl.snis.empty())
    fields.fail("sni", "missing; give sni or snis, the names this certificate is for");
  read_ssl_client(fields, &ssl.client);
  read_status(fields, &ssl.is_enabled);
  fields.read("ssl_protocols", &ssl.ssl_protocols);
  read_stapling(fields, &ssl.ocsp_stapling);
  if (ssl.is_issued) read_issued(fields, body, &ssl);
  return finish(fields, std::move(ssl));
}

}  // namespace moongate::config
