// SPDX-License-Identifier: Apache-2.0
#include "config/kong_upstreams.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "config/resources.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Value;

namespace {

constexpr std::array<std::string_view, 4> kProtocols{"http", "https", "grpc", "grpcs"};
constexpr int64_t kMillisecondsMax = 2147483646;
constexpr int64_t kTargetPort = 8000;

constexpr std::array<std::string_view, 20> kServiceKeys{"id",
                                                        "name",
                                                        "url",
                                                        "protocol",
                                                        "host",
                                                        "port",
                                                        "path",
                                                        "retries",
                                                        "connect_timeout",
                                                        "read_timeout",
                                                        "write_timeout",
                                                        "tags",
                                                        "enabled",
                                                        "tls_verify",
                                                        "tls_verify_depth",
                                                        "routes",
                                                        "plugins",
                                                        "ca_certificates",
                                                        "client_certificate",
                                                        "tls_sans"};

constexpr std::array<std::string_view, 18> kUpstreamKeys{"id",
                                                         "name",
                                                         "algorithm",
                                                         "hash_on",
                                                         "hash_fallback",
                                                         "hash_on_header",
                                                         "hash_fallback_header",
                                                         "hash_on_cookie",
                                                         "hash_on_cookie_path",
                                                         "hash_on_query_arg",
                                                         "hash_fallback_query_arg",
                                                         "slots",
                                                         "healthchecks",
                                                         "tags",
                                                         "host_header",
                                                         "targets",
                                                         "client_certificate",
                                                         "use_srv_name"};

constexpr std::array<std::string_view, 5> kTargetKeys{"id", "target", "weight", "tags", "upstream"};

/// Where a service leads: what its url says, or its single fields.
struct Address {
  std::string protocol = "http";
  std::string host;
  int64_t port = 80;
  std::string path = "/";
};

/// Takes "http://host:8080/path" apart; false when it is no such thing.
bool split_url(std::string_view url, Address* address) {
  const size_t colon = url.find("://");
  if (colon == url.npos) return false;
  address->protocol = url.substr(0, colon);
  std::string_view rest = url.substr(colon + 3);
  const size_t slash = rest.find('/');
  if (slash != rest.npos) address->path = rest.substr(slash);
  address->port = address->protocol == "https" || address->protocol == "grpcs" ? 443 : 80;
  auto port = static_cast<uint16_t>(address->port);
  if (!split_node_address(rest.substr(0, slash), &address->host, &port)) return false;
  address->port = port;
  return true;
}

Address address_of(const KongService& service, KongFindings* findings) {
  const Places no_places;
  KongFindings ignored(no_places);
  const KongReader reader(service.item, findings != nullptr ? *findings : ignored);
  Address address;
  const std::string url = reader.text("url");
  if (!url.empty() && !split_url(url, &address)) {
    reader.refuse("url", "expected PROTOCOL://HOST[:PORT][/PATH]");
    return address;
  }
  address.protocol = reader.text("protocol", address.protocol);
  address.host = reader.text("host", address.host);
  address.port = reader.whole("port", 1, 65535, address.port);
  address.path = reader.text("path", address.path);
  return address;
}

const KongUpstream* find_upstream(const KongModel& model, const std::string& name) {
  const auto found = std::find_if(model.upstreams.begin(), model.upstreams.end(),
                                  [&](const KongUpstream& upstream) { return upstream.name == name; });
  return found == model.upstreams.end() ? nullptr : &*found;
}

Value make_node(std::string host, int64_t port, int64_t weight, const Value& from) {
  Value node = placed(Value::object(), from);
  node.set("host", placed_text(std::move(host), from));
  node.set("port", placed_number(static_cast<double>(port), from));
  node.set("weight", placed_number(static_cast<double>(weight), from));
  return node;
}

Value make_target(const KongItem& item, KongFindings& findings) {
  const KongReader reader(item, findings);
  std::string host;
  uint16_t port = kTargetPort;
  if (auto split = split_node_address(reader.text("target"), &host, &port); !split)
    reader.refuse("target", split.error().detail);
  return make_node(host, port, reader.whole("weight", 0, 65535, 100), *item.body);
}

/// What consistent hashing goes by. Kong's fallback when a request has no such value is another field or the
/// address; ours is always the address.
void set_hash(const KongItem& item, KongFindings& findings, Value* upstream) {
  const KongReader reader(item, findings);
  const Value& at = reader.find("hash_on") != nullptr ? *reader.find("hash_on") : *item.body;
  const std::string on = reader.text("hash_on", "none");
  const auto set = [&](std::string_view kind, std::string key) {
    upstream->set("hash_on", placed_text(std::string(kind), at));
    if (!key.empty()) upstream->set("key", placed_text(std::move(key), at));
  };
  const auto set_cookie = [&] {
    set("cookie", reader.text("hash_on_cookie"));
    findings.note(at, item.path("hash_on"),
                  "clients without the cookie are not given one; their address counts");
  };
  if (on == "consumer")
    set("consumer", "");
  else if (on == "ip")
    set("vars", "remote_addr");
  else if (on == "path")
    set("vars", "uri");
  else if (on == "header")
    set("header", reader.text("hash_on_header"));
  else if (on == "cookie")
    set_cookie();
  else if (on == "query_arg")
    set("vars", "arg_" + reader.text("hash_on_query_arg"));
  else
    reader.refuse("hash_on",
                  "expected consumer, ip, header, cookie, path or query_arg for consistent-hashing");
  const std::string fallback = reader.text("hash_fallback", "none");
  if (fallback != "none" && fallback != "ip")
    findings.note(*reader.find("hash_fallback"), item.path("hash_fallback"),
                  "a request without the value is hashed by the client's address instead");
}

void set_algorithm(const KongItem& item, KongFindings& findings, Value* upstream) {
  const KongReader reader(item, findings);
  constexpr std::array<std::string_view, 4> kNames{"round-robin", "least-connections", "consistent-hashing",
                                                   "latency"};
  constexpr std::array<std::string_view, 4> kTypes{"roundrobin", "least_conn", "chash", "ewma"};
  const std::string hash_on = reader.text("hash_on", "none");
  const std::string name = reader.text("algorithm", hash_on == "none" ? "round-robin" : "consistent-hashing");
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return reader.refuse("algorithm", describe_unknown("algorithm", name, kNames));
  const Value* written = reader.find("algorithm");
  upstream->set("type", placed_text(std::string(kTypes[static_cast<size_t>(found - kNames.begin())]),
                                    written != nullptr ? *written : *item.body));
  if (name == "consistent-hashing") set_hash(item, findings, upstream);
}

/// Copies the fields that mean the same. Zero switches a check off in Kong and is the default there.
void copy_numbers(const Value& from, std::initializer_list<std::string_view> keys, bool has_zero, Value* to) {
  for (const std::string_view key : keys) {
    const Value* value = from.find(key);
    const bool is_zero = value == nullptr || !value->is_number() || value->as_number() == 0;
    if (!is_zero)
      to->set(std::string(key), *value);
    else if (has_zero)
      to->set(std::string(key), placed_number(0, value != nullptr ? *value : from));
  }
  if (const Value* statuses = from.find("http_statuses"); statuses != nullptr && !statuses->is_null())
    to->set("http_statuses", *statuses);
}

/// One half of a check with what makes its verdict. What Kong does not count by default is not counted here.
Value make_half(const Value* written, const Value& check, std::string_view side) {
  const Value nothing = placed(Value::object(), check);
  const Value& from = written != nullptr ? *written : nothing;
  Value half = placed(Value::object(), from);
  if (side == "healthy")
    copy_numbers(from, {"successes"}, true, &half);
  else
    copy_numbers(from, {"http_failures", "tcp_failures", "timeouts"}, true, &half);
  return half;
}

/// Fractions of a second are honoured; more than ten looks in one are not.
void set_interval(const Value& written, const KongItem& item, KongFindings& findings, Value* half) {
  constexpr double kIntervalMin = 0.1;
  copy_numbers(written, {"interval"}, false, half);
  Value* interval = half->find("interval");
  if (interval == nullptr) {
    half->set("enabled", placed_flag(false, *half));
    return;
  }
  if (interval->as_number() <= 0 || interval->as_number() >= kIntervalMin) return;
  findings.note(*interval, item.where + ".interval", "nodes are asked every 0.1 seconds at most");
  *interval = placed_number(kIntervalMin, *interval);
}

void set_type(const KongReader& reader, const KongItem& item, KongFindings& findings, Value* active) {
  const Value* type = reader.find("type");
  if (type == nullptr) return;
  const bool is_grpc = type->is_string() && type->as_string().starts_with("grpc");
  active->set("type", is_grpc ? placed_text("tcp", *type) : *type);
  if (is_grpc) findings.note(*type, item.path("type"), "the check connects, and asks nothing of the service");
}

Value make_active(const KongItem& item, KongFindings& findings) {
  const KongReader reader(item, findings);
  constexpr std::array<std::string_view, 9> kKeys{
      "type",     "timeout", "concurrency", "http_path",
      "headers",  "healthy", "unhealthy",   "https_verify_certificate",
      "https_sni"};
  reader.check_keys(kKeys);
  Value active = placed(Value::object(), *item.body);
  set_type(reader, item, findings, &active);
  for (const std::string_view key : {"timeout", "http_path", "https_verify_certificate", "https_sni"}) {
    if (const Value* value = reader.find(key)) active.set(std::string(key), *value);
  }
  if (const Value* count = reader.find("concurrency"))
    active.set("concurrency",
               count->is_number() ? placed_number(std::ceil(count->as_number()), *count) : *count);
  if (const Value* headers = reader.object("headers")) {
    Value list = placed(Value::array(), *headers);
    for (const auto& [name, values] : headers->members()) {
      if (!values.is_array()) continue;
      for (const Value& value : values.items()) {
        if (value.is_string()) list.items().push_back(placed_text(name + ": " + value.as_string(), value));
      }
    }
    active.set("req_headers", std::move(list));
  }
  for (const std::string_view side : {"healthy", "unhealthy"}) {
    const Value* written = reader.object(side);
    Value made = make_half(written, *item.body, side);
    set_interval(written != nullptr ? *written : made, {&made, item.path(side)}, findings, &made);
    active.set(std::string(side), std::move(made));
  }
  return active;
}

Value make_passive(const KongItem& item, KongFindings& findings) {
  const KongReader reader(item, findings);
  constexpr std::array<std::string_view, 3> kKeys{"type", "healthy", "unhealthy"};
  reader.check_keys(kKeys);
  Value passive = placed(Value::object(), *item.body);
  if (const Value* type = reader.find("type")) {
    const bool is_grpc = type->is_string() && type->as_string().starts_with("grpc");
    passive.set("type", is_grpc ? placed_text("http", *type) : *type);  // its statuses are those of HTTP
  }
  for (const std::string_view side : {"healthy", "unhealthy"})
    passive.set(std::string(side), make_half(reader.object(side), *item.body, side));
  return passive;
}

bool is_switched_on(const Value* check, std::initializer_list<std::string_view> keys) {
  if (check == nullptr) return false;
  for (const std::string_view side : {"healthy", "unhealthy"}) {
    const Value* half = check->find(side);
    for (const std::string_view key : keys) {
      if (half != nullptr && half->get_number(key, 0) > 0) return true;
    }
  }
  return false;
}

void set_checks(const KongItem& item, KongFindings& findings, Value* upstream) {
  const Value* written = KongReader(item, findings).object("healthchecks");
  if (written == nullptr) return;
  const KongItem checks{written, item.path("healthchecks")};
  const KongReader reader(checks, findings);
  constexpr std::array<std::string_view, 3> kKeys{"active", "passive", "threshold"};
  reader.check_keys(kKeys);
  const Value* active = reader.object("active");
  const Value* passive = reader.object("passive");
  const bool is_active = is_switched_on(active, {"interval"});
  const bool is_passive = is_switched_on(passive, {"http_failures", "tcp_failures", "timeouts"});
  if (reader.find("threshold") != nullptr && written->get_number("threshold", 0) > 0)
    findings.add(KongLoss::kLost, *reader.find("threshold"), checks.path("threshold"),
                 "there is no such limit here");
  if (!is_active && is_passive)
    findings.note(*passive, checks.path("passive"),
                  "a node that they find bad is tried again after a minute, since no active check asks it");
  if (!is_active && !is_passive) return;
  Value made = placed(Value::object(), *written);
  if (is_active)
    made.set("active", make_active({active, checks.path("active")}, findings));
  else
    made.set("active", placed(Value::object(), *written)).set("enabled", placed_flag(false, *written));
  if (is_passive) made.set("passive", make_passive({passive, checks.path("passive")}, findings));
  upstream->set("checks", std::move(made));
}

void set_timeouts(const KongReader& reader, const KongItem& item, Value* upstream) {
  Value timeout = placed(Value::object(), *item.body);
  for (const auto& [ours, kongs] :
       {std::pair<std::string_view, std::string_view>{"connect", "connect_timeout"},
        {"send", "write_timeout"},
        {"read", "read_timeout"}}) {
    const Value* written = reader.find(kongs);
    const auto milliseconds = static_cast<double>(reader.whole(kongs, 1, kMillisecondsMax, 60'000));
    timeout.set(std::string(ours),
                placed_number(milliseconds / 1000, written != nullptr ? *written : *item.body));
  }
  upstream->set("timeout", std::move(timeout));
}

void set_pass_host(const KongUpstream* balanced, const KongItem& item, bool keeps_host, Value* upstream) {
  const std::string_view host = balanced != nullptr ? balanced->item.body->get_string("host_header") : "";
  const bool rewrites = balanced != nullptr && !keeps_host && !host.empty();
  upstream->set("pass_host", placed_text(keeps_host ? "pass" : rewrites ? "rewrite" : "node", *item.body));
  if (rewrites) upstream->set("upstream_host", placed_text(std::string(host), *balanced->item.body));
}

void set_nodes(const KongUpstream* balanced, const Address& address, const KongItem& item,
               KongFindings& findings, Value* upstream) {
  Value nodes = placed(Value::array(), *item.body);
  if (balanced == nullptr) {
    nodes.items().push_back(make_node(address.host, address.port, 1, *item.body));
  } else {
    nodes.set_place(balanced->item.body->file(), balanced->item.body->line());
    for (const KongItem& target : balanced->targets) nodes.items().push_back(make_target(target, findings));
  }
  upstream->set("nodes", std::move(nodes));
}

void check_service(const KongService& service, KongFindings& findings) {
  const KongReader reader(service.item, findings);
  reader.check_keys(kServiceKeys);
  constexpr std::array<std::string_view, 4> kTrust{"ca_certificates", "client_certificate", "tls_sans",
                                                   "tls_verify_depth"};
  reader.refuse_keys(kTrust,
                     "is not served; put the certificate under `tls` of an upstream of our own format");
  const Address address = address_of(service, &findings);
  if (address.host.empty()) reader.refuse("host", "missing; give url or host");
  if (std::find(kProtocols.begin(), kProtocols.end(), address.protocol) == kProtocols.end())
    reader.refuse("protocol", describe_unknown("protocol", address.protocol, kProtocols));
  if (!address.path.starts_with('/')) reader.refuse("path", "expected a path that begins with /");
}

}  // namespace

std::string kong_service_path(const KongService& service) { return address_of(service, nullptr).path; }

Value make_kong_upstream(const KongModel& model, const KongService& service, bool keeps_host,
                         KongFindings& findings) {
  const KongItem& item = service.item;
  const KongReader reader(item, findings);
  const Address address = address_of(service, nullptr);
  const KongUpstream* balanced = find_upstream(model, address.host);
  Value upstream = placed(Value::object(), *item.body);
  upstream.set("scheme", placed_text(address.protocol, *item.body));
  if (balanced != nullptr) {
    set_algorithm(balanced->item, findings, &upstream);
    set_checks(balanced->item, findings, &upstream);
  } else {
    upstream.set("type", placed_text("roundrobin", *item.body));
  }
  set_nodes(balanced, address, item, findings, &upstream);
  set_pass_host(balanced, item, keeps_host, &upstream);
  const Value* retries = reader.find("retries");
  upstream.set("retries", placed_number(static_cast<double>(reader.whole("retries", 0, 32767, 5)),
                                        retries != nullptr ? *retries : *item.body));
  set_timeouts(reader, item, &upstream);
  if (const Value* verify = reader.find("tls_verify")) {
    Value tls = placed(Value::object(), *verify);
    tls.set("verify", placed_flag(reader.flag("tls_verify", true), *verify));
    upstream.set("tls", std::move(tls));
  }
  return upstream;
}

void check_kong_upstreams(const KongModel& model, KongFindings& findings) {
  for (const KongService& service : model.services) check_service(service, findings);
  for (const KongUpstream& upstream : model.upstreams) {
    const KongReader reader(upstream.item, findings);
    reader.check_keys(kUpstreamKeys);
    if (reader.find("client_certificate") != nullptr)
      reader.refuse("client_certificate", "is not served; remove it");
    if (reader.flag("use_srv_name", false)) reader.refuse("use_srv_name", "is not served; remove it");
    if (upstream.targets.empty())
      reader.refuse("targets",
                    "missing; an upstream needs a target, or remove it for its name to be asked of DNS");
    for (const KongItem& target : upstream.targets) KongReader(target, findings).check_keys(kTargetKeys);
  }
}

}  // namespace moongate::config
