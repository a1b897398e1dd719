// SPDX-License-Identifier: Apache-2.0
// Upstreams: nodes in both of their forms, and what else is peculiar to them.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/ascii.h"
#include "config/resource_parts.h"
#include "config/setting_values.h"
#include "config/suggest.h"

namespace moongate::config {

using base::Result;
using base::Value;

namespace {

constexpr std::array<std::string_view, 8> kSchemes{"http", "https", "grpc", "grpcs",
                                                   "tcp",  "tls",   "udp",  "kafka"};
constexpr std::array<std::string_view, 3> kPassHosts{"pass", "node", "rewrite"};
constexpr std::array<std::string_view, 5> kHashOns{"vars", "header", "cookie", "consumer",
                                                   "vars_combinations"};
constexpr int64_t kWeightMax = 1'000'000'000;
constexpr int64_t kPriorityMax = 1'000'000'000;
constexpr int64_t kRetriesMax = 1'000'000;
constexpr size_t kNodesMax = 100'000;

bool is_name_character(char c) { return base::is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; }

template <class Enum, size_t N>
void read_word(FieldReader& fields, std::string_view key, const std::array<std::string_view, N>& words,
               Enum* field) {
  std::string word;
  fields.read(key, &word);
  if (word.empty()) return;
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return fields.fail(key, describe_unknown("word", word, words));
  *field = static_cast<Enum>(found - words.begin());
}

void finish_node(FieldReader& fields, const std::string& where, Scheme scheme, Node node,
                 std::vector<Node>* nodes) {
  if (node.port == 0) node.port = scheme_port(scheme);
  if (node.port == 0) {
    return fields.fail("", where + ": no port, and the scheme " + std::string(scheme_name(scheme)) +
                               " has no usual one; write HOST:PORT");
  }
  nodes->push_back(std::move(node));
}

// {"host:port": weight}
void read_node_mapping(FieldReader& fields, const Value& mapping, Scheme scheme, std::vector<Node>* nodes) {
  FieldReader weights(mapping, fields.path("nodes"));
  for (const Value::Member& member : mapping.members()) {
    Node node;
    if (auto split = split_node_address(member.first, &node.host, &node.port); !split) {
      weights.fail(member.first, split.error().detail);
    }
    int64_t weight = -1;
    weights.read_whole(member.first, 0, kWeightMax, &weight);
    if (weight < 0) weights.fail(member.first, "expected a weight");
    if (!weights.ok()) return fields.fail_with(weights.error());
    node.weight = static_cast<uint32_t>(weight);
    finish_node(fields, "nodes." + member.first, scheme, std::move(node), nodes);
  }
}

void read_listed_node(FieldReader& fields, const Value& item, const std::string& name, Scheme scheme,
                      std::vector<Node>* nodes) {
  FieldReader reader(item, fields.path(name));
  Node node;
  std::string host;
  int64_t port = 0;
  int64_t weight = 1;
  int64_t priority = 0;
  reader.read("host", &host);
  if (host.empty()) reader.fail("host", "missing; give a name or an IP address");
  reader.read_whole("weight", 0, kWeightMax, &weight);
  reader.read_whole("priority", -kPriorityMax, kPriorityMax, &priority);
  if (reader.ok()) {
    if (auto split = split_node_address(host, &node.host, &node.port); !split)
      reader.fail("host", split.error().detail);
  }
  reader.read_whole("port", 1, 65535, &port);
  if (const Value* metadata = reader.find_object("metadata")) node.metadata = *metadata;
  if (!reader.ok()) return fields.fail_with(reader.error());
  if (port != 0) node.port = static_cast<uint16_t>(port);
  node.weight = static_cast<uint32_t>(weight);
  node.priority = static_cast<int32_t>(priority);
  finish_node(fields, name, scheme, std::move(node), nodes);
}

void read_nodes(FieldReader& fields, Scheme scheme, std::vector<Node>* nodes) {
  const Value* written = fields.find("nodes");
  if (written == nullptr) return;
  const bool is_list = written->is_array();
  if (!is_list && !written->is_object()) {
    return fields.fail("nodes", "expected a mapping of \"HOST:PORT\" to weight, or a list of nodes, got " +
                                    describe_value(*written));
  }
  const size_t count = is_list ? written->items().size() : written->members().size();
  if (count > kNodesMax) return fields.fail("nodes", "more than 100000 nodes");
  if (!is_list) return read_node_mapping(fields, *written, scheme, nodes);
  for (size_t i = 0; i < count && fields.ok(); ++i) {
    read_listed_node(fields, written->items()[i], "nodes[" + std::to_string(i) + "]", scheme, nodes);
  }
}

void read_keepalive_pool(FieldReader& fields, std::optional<KeepalivePool>* pool) {
  const Value* written = fields.find_object("keepalive_pool");
  if (written == nullptr) return;
  FieldReader reader(*written, fields.path("keepalive_pool"));
  KeepalivePool read;
  int64_t size = read.size;
  int64_t requests = read.requests;
  reader.read_whole("size", 1, 1'000'000, &size);
  reader.read_whole("requests", 1, 1'000'000'000, &requests);
  reader.read_seconds("idle_timeout", &read.idle_timeout);
  if (!reader.ok()) return fields.fail_with(reader.error());
  read.size = static_cast<uint32_t>(size);
  read.requests = static_cast<uint32_t>(requests);
  *pool = read;
}

void read_tls(FieldReader& fields, std::optional<UpstreamTls>* tls) {
  const Value* written = fields.find_object("tls");
  if (written == nullptr) return;
  FieldReader reader(*written, fields.path("tls"));
  UpstreamTls read;
  reader.read_id("client_cert_id", &read.client_cert_id);
  reader.read("client_cert", &read.client_cert);
  reader.read("client_key", &read.client_key);
  if (reader.find("verify") != nullptr) reader.read("verify", &read.verify.emplace());
  if (read.client_cert.empty() != read.client_key.empty()) {
    reader.fail("", "client_cert and client_key go together; give both or neither");
  }
  if (!reader.ok()) return fields.fail_with(reader.error());
  *tls = std::move(read);
}

void read_retries(FieldReader& fields, std::optional<uint32_t>* retries) {
  int64_t count = -1;
  fields.read_whole("retries", 0, kRetriesMax, &count);
  if (count >= 0) *retries = static_cast<uint32_t>(count);
}

void check_together(FieldReader& fields, const Upstream& upstream) {
  if (upstream.pass_host == PassHost::kRewrite && upstream.upstream_host.empty()) {
    fields.fail("upstream_host", "`upstream_host` can't be empty when `pass_host` is `rewrite`");
  }
  if (upstream.type == "chash" && upstream.hash_on != HashOn::kConsumer && upstream.key.empty()) {
    fields.fail("key", "missing key; chash needs to know what to hash, such as remote_addr");
  }
  if (upstream.service_name.empty() != upstream.discovery_type.empty()) {
    fields.fail("", "service_name and discovery_type go together; give both or neither");
  }
}

}  // namespace

std::string_view scheme_name(Scheme scheme) { return kSchemes[static_cast<size_t>(scheme)]; }

uint16_t scheme_port(Scheme scheme) {
  switch (scheme) {
    case Scheme::kHttp:
    case Scheme::kGrpc:
      return 80;
    case Scheme::kHttps:
    case Scheme::kGrpcs:
      return 443;
    default:
      return 0;
  }
}

Result<void> split_node_address(std::string_view text, std::string* host, uint16_t* port) {
  if (text.starts_with("unix:")) {
    *host = text;
    return {};
  }
  in6_addr address;
  const auto is_ipv6 = [&](std::string_view candidate) {
    return ::inet_pton(AF_INET6, std::string(candidate).c_str(), &address) == 1;
  };
  size_t host_end = text.size();
  std::string_view bare;
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == text.npos || !is_ipv6(text.substr(1, bracket - 1))) {
      return base::invalid("not an IPv6 address in brackets; write it like [::1]:80");
    }
    host_end = bracket + 1;
    bare = text.substr(1, bracket - 1);
  } else if (is_ipv6(text)) {
    bare = text;
  } else {
    host_end = std::min(text.find(':'), text.size());
    bare = text.substr(0, host_end);
  }
  if (bare.empty()) return base::invalid("no host; write HOST or HOST:PORT");
  if (!is_ipv6(bare) && !std::all_of(bare.begin(), bare.end(), is_name_character)) {
    return base::invalid("`" + std::string(bare) +
                         "` is neither a host name nor an IP address; write HOST:PORT");
  }
  *host = bare;
  if (host_end == text.size()) return {};
  const std::string_view digits = text.substr(host_end + 1);
  uint16_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool is_port = text[host_end] == ':' && parsed.ec == std::errc() &&
                       parsed.ptr == digits.data() + digits.size() && number > 0;
  if (!is_port)
    return base::invalid(
        "invalid port; write HOST:PORT with a port from 1 to 65535, and IPv6 addresses in brackets");
  *port = number;
  return {};
}

Result<Upstream> parse_upstream_at(const Value& body, const std::string& where) {
  FieldReader fields(body, where);
  Upstream upstream;
  fields.read_id("id", &upstream.id);
  fields.read("name", &upstream.name);
  read_labels(fields, &upstream.labels);
  read_word(fields, "scheme", kSchemes, &upstream.scheme);
  read_word(fields, "pass_host", kPassHosts, &upstream.pass_host);
  read_word(fields, "hash_on", kHashOns, &upstream.hash_on);
  fields.read("type", &upstream.type);
  fields.read("key", &upstream.key);
  fields.read("upstream_host", &upstream.upstream_host);
  fields.read("service_name", &upstream.service_name);
  fields.read("discovery_type", &upstream.discovery_type);
  if (const Value* arguments = fields.find_object("discovery_args")) upstream.discovery_args = *arguments;
  read_health_checks(fields, &upstream.checks);
  read_retries(fields, &upstream.retries);
  fields.read_seconds("retry_timeout", &upstream.retry_timeout);
  read_timeouts(fields, &upstream.timeout);
  read_keepalive_pool(fields, &upstream.keepalive_pool);
  read_tls(fields, &upstream.tls);
  if (fields.ok()) read_nodes(fields, upstream.scheme, &upstream.nodes);
  check_together(fields, upstream);
  if (!fields.ok()) return fields.error();
  return upstream;
}

Result<Upstream> parse_upstream(const Value& body) { return parse_upstream_at(body, ""); }

}  // namespace moongate::config
