// SPDX-License-Identifier: Apache-2.0
// How a compiler makes an upstream of its configuration.
#include "snapshot/compiler.h"

namespace moongate::snapshot {

namespace {

const char* hash_on_name(config::HashOn hash_on) {
  switch (hash_on) {
    case config::HashOn::kHeader:
      return "header";
    case config::HashOn::kCookie:
      return "cookie";
    case config::HashOn::kConsumer:
      return "consumer";
    case config::HashOn::kVarsCombinations:
      return "vars_combinations";
    case config::HashOn::kVars:
      break;
  }
  return "vars";
}

}  // namespace

upstream::Timeouts to_timeouts(const config::Timeouts& conf) { return {conf.connect, conf.send, conf.read}; }

std::shared_ptr<upstream::Upstream> Compiler::make_upstream(const config::Upstream& conf,
                                                            const std::string& id, std::string* fault) {
  upstream::UpstreamOptions options;
  options.id = id;
  options.type = conf.type;
  options.hash_on = hash_on_name(conf.hash_on);
  options.key = conf.key;
  options.scheme = config::scheme_name(conf.scheme);
  options.pass_host = static_cast<upstream::PassHost>(conf.pass_host);
  options.host = conf.upstream_host;
  options.retries = conf.retries;
  options.retry_timeout = conf.retry_timeout;
  if (conf.timeout) options.timeouts = to_timeouts(*conf.timeout);
  const config::UpstreamSettings& pool = next_->settings->upstream;
  options.pool = {pool.keepalive_size, pool.keepalive_timeout, pool.keepalive_requests};
  if (conf.keepalive_pool) {
    options.pool = {conf.keepalive_pool->size, conf.keepalive_pool->idle_timeout,
                    conf.keepalive_pool->requests};
  }
  if (!conf.discovery_type.empty()) {
    *fault = "discovery_type: service discovery by \"" + conf.discovery_type +
             "\" is not in this version; write nodes";
    return nullptr;
  }
  if (auto chosen = choose_tls(conf, &options); !chosen) {
    *fault = chosen.error().detail;
    return nullptr;
  }
  std::vector<upstream::Node> nodes;
  for (const config::Node& node : conf.nodes) {
    upstream::Node out;
    out.host = node.host;
    out.port = node.port;
    out.weight = node.weight;
    out.priority = node.priority;
    nodes.push_back(std::move(out));
  }
  if (next_->settings->upstream.health_checks) options.health = make_health(conf, id, health_board_);
  auto made = upstream::Upstream::make(std::move(options), std::move(nodes), pool_);
  if (made) return made.take();
  *fault = made.error().detail;
  return nullptr;
}

}  // namespace moongate::snapshot
