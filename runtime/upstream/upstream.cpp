// SPDX-License-Identifier: Apache-2.0
#include "upstream/upstream.h"

#include <netinet/in.h>

#include <algorithm>

namespace moongate::upstream {
namespace {

net::SocketAddress with_port(net::SocketAddress address, uint16_t port) {
  if (address.family() == AF_INET) reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
  if (address.family() == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
  return address;
}

}  // namespace

std::optional<Scheme> find_scheme(std::string_view text) {
  if (text == "http") return Scheme::kHttp;
  if (text == "https") return Scheme::kHttps;
  if (text == "grpc") return Scheme::kGrpc;
  if (text == "grpcs") return Scheme::kGrpcs;
  return std::nullopt;
}

bool Tried::contains(uint32_t index) const {
  return std::find(nodes.begin(), nodes.end(), index) != nodes.end();
}

base::Result<std::shared_ptr<Upstream>> Upstream::make(UpstreamOptions options, std::vector<Node> nodes,
                                                       Pool& pool) {
  std::shared_ptr<Upstream> upstream(new Upstream(std::move(options), std::move(nodes), pool));
  const auto scheme = find_scheme(upstream->options_.scheme);
  if (!scheme) {
    return base::invalid("scheme: upstreams with scheme " + upstream->options_.scheme +
                         " are not in this version; write http, https, grpc or grpcs");
  }
  upstream->scheme_ = *scheme;
  for (Node& node : upstream->nodes_) {
    bool is_unix = node.host.starts_with("unix:");
    node.text = is_unix || node.port == 0 ? node.host : node.host + ":" + std::to_string(node.port);
    if (is_unix) {
      auto address = net::make_unix_address(std::string_view(node.host).substr(5));
      if (!address) return base::invalid("nodes." + node.host + ": " + address.error().detail);
      node.endpoints.push_back(upstream->endpoint_of(*address, *scheme));
      continue;
    }
    auto literal = net::make_ip_address(node.host, node.port);
    node.is_name = !literal.ok();
    if (literal) node.endpoints.push_back(upstream->endpoint_of(*literal, *scheme));
  }
  auto balancer = make_balancer(upstream->options_.type, upstream->nodes_);
  if (!balancer) return base::invalid("type: " + balancer.error().detail);
  upstream->balancer_ = balancer.take();
  return upstream;
}

const std::shared_ptr<const tls::ClientContext>& Upstream::context_of(Scheme scheme) const {
  static const std::shared_ptr<const tls::ClientContext> none;
  if (!is_tls(scheme)) return none;
  const auto& context = scheme == Scheme::kGrpcs ? options_.tls_http2 : options_.tls;
  MG_ASSERT(context);  // or it would be spoken to in clear
  return context;
}

uint32_t Upstream::retries_max() const {
  if (options_.retries) return *options_.retries;
  return nodes_.empty() ? 0 : static_cast<uint32_t>(nodes_.size() - 1);
}

Node* Upstream::pick(Tried& tried, std::string_view hash_key) {
  if (nodes_.size() ==
      1) {  // a single node is used whatever its weight, and again for a retry the user asked for
    return &nodes_[0];
  }
  const Health* health = options_.health && options_.health->has_choice() ? options_.health.get() : nullptr;
  candidates_.clear();
  int best = INT32_MIN;
  for (uint32_t i = 0; i < nodes_.size(); i++) {
    const Node& node = nodes_[i];
    if (node.weight == 0 || node.priority < best || tried.contains(i)) continue;
    if (health != nullptr && !health->may_use(i)) continue;
    if (node.priority > best) {
      best = node.priority;
      candidates_.clear();
    }
    candidates_.push_back(i);
  }
  if (candidates_.empty()) return nullptr;
  uint32_t index = candidates_.size() == 1 ? candidates_[0] : balancer_->pick(nodes_, candidates_, hash_key);
  tried.nodes.push_back(index);
  return &nodes_[index];
}

void Upstream::report_answer(const Node& node, uint16_t status) {
  if (is_own(node)) options_.health->report_status(index_of(node), status);
}

void Upstream::note_failure(const Node& node, bool is_timeout) {
  if (options_.health && is_own(node)) options_.health->report_failure(index_of(node), is_timeout);
}

std::shared_ptr<Endpoint> Upstream::find_endpoint(Node& node, net::Resolver& resolver, Scheme wanted) {
  if (node.is_name) {
    auto addresses = resolver.find(node.host);
    if (!addresses) return nullptr;
    if (addresses != node.addresses) use_addresses(node, std::move(addresses));
  }
  if (node.endpoints.empty()) return nullptr;
  const auto& endpoint = node.endpoints[node.next_endpoint++ % node.endpoints.size()];
  return context_of(wanted) == endpoint->context() ? endpoint : cross(node, *endpoint, wanted);
}

// Kept with the node, so that its connections are.
std::shared_ptr<Endpoint> Upstream::cross(Node& node, const Endpoint& endpoint, Scheme wanted) {
  for (const auto& known : node.crossed) {
    if (known->text() == endpoint.text() && known->context() == context_of(wanted)) return known;
  }
  node.crossed.push_back(endpoint_of(endpoint.address(), wanted));
  return node.crossed.back();
}

// The name's addresses changed: connections kept to those that are gone may by now lead to somebody else.
void Upstream::use_addresses(Node& node, std::shared_ptr<const net::Resolver::Addresses> addresses) {
  std::vector<std::shared_ptr<Endpoint>> now;
  now.reserve(addresses->size());
  for (const auto& address : *addresses) now.push_back(endpoint_of(with_port(address, node.port), scheme_));
  for (const auto& before : node.endpoints) {
    if (std::find(now.begin(), now.end(), before) == now.end()) before->retire();
  }
  for (const auto& before : node.crossed) before->retire();
  node.crossed.clear();
  node.endpoints = std::move(now);
  node.addresses = std::move(addresses);
}

}  // namespace moongate::upstream
