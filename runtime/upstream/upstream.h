// SPDX-License-Identifier: Apache-2.0
// An upstream as the data path uses it: its nodes, how one is chosen, and what applies to every try.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/resolver.h"
#include "upstream/attempt.h"
#include "upstream/health.h"
#include "upstream/pool.h"

namespace moongate::upstream {

/// One address of an upstream, as configured: a literal, a name or a unix socket.
struct Node {
  std::string host;
  uint16_t port = 0;
  uint32_t weight = 1;
  int priority = 0;
  std::string text;      // "host:port"
  bool is_name = false;  // must be resolved

  int64_t current_weight = 0;  // of the smooth weighted round robin
  uint32_t active = 0;         // requests in flight from this worker

  /// The endpoints of a name's present addresses, or the one of a literal.
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::vector<std::shared_ptr<Endpoint>> crossed;  // the same for requests whose plugins chose another scheme
  std::shared_ptr<const net::Resolver::Addresses> addresses;  // what `endpoints` were made from
  uint32_t next_endpoint = 0;
};

/// How nodes are spoken to.
enum class Scheme : uint8_t { kHttp, kHttps, kGrpc, kGrpcs };
/// Nothing for a text that names none of them.
std::optional<Scheme> find_scheme(std::string_view text);
inline bool is_tls(Scheme scheme) { return scheme == Scheme::kHttps || scheme == Scheme::kGrpcs; }
inline bool is_http2(Scheme scheme) { return scheme == Scheme::kGrpc || scheme == Scheme::kGrpcs; }

enum class PassHost : uint8_t { kPass, kNode, kRewrite };

struct UpstreamOptions {
  std::string id;  // the upstream's id, or "route#ID" for an inline one
  std::string type = "roundrobin";
  std::string hash_on = "vars";
  std::string key;
  std::string scheme = "http";
  // How TLS is spoken to the nodes, whatever the scheme is: with HTTP/1 inside, and with HTTP/2.
  std::shared_ptr<const tls::ClientContext> tls;
  std::shared_ptr<const tls::ClientContext> tls_http2;
  std::string client_cert_id;     // the certificate resource `tls` was made with
  uint64_t client_cert_hash = 0;  // of that resource
  PassHost pass_host = PassHost::kPass;
  std::string host;                 // for kRewrite
  std::optional<uint32_t> retries;  // unset: one less than there are nodes
  std::chrono::milliseconds retry_timeout{0};
  Timeouts timeouts;
  bool has_timeouts = false;
  PoolLimits pool;
  std::shared_ptr<Health> health;  // null: nobody looks at how the nodes are
};

/// What one exchange has tried so far.
struct Tried {
  std::vector<uint32_t> nodes;
  bool contains(uint32_t index) const;
};

/// Chooses nodes. Each exchange asks with what it has tried; a node is not tried twice.
///
/// Shape:   nodes grouped by priority, highest first; a lower group is used when all of the higher were
/// tried. Owner:   the snapshots that name it; unchanged upstreams are shared by successive snapshots. Runs
/// in: one worker; every worker balances on its own.
class Balancer {
 public:
  virtual ~Balancer() = default;
  /// Index of a node among `candidates` (never empty); `hash_key` is the value of `key` for chash.
  virtual uint32_t pick(std::vector<Node>& nodes, const std::vector<uint32_t>& candidates,
                        std::string_view hash_key) = 0;
};
/// roundrobin, least_conn, chash or ewma; an error names what there is.
base::Result<std::unique_ptr<Balancer>> make_balancer(const std::string& type,
                                                      const std::vector<Node>& nodes);

class Upstream {
 public:
  static base::Result<std::shared_ptr<Upstream>> make(UpstreamOptions options, std::vector<Node> nodes,
                                                      Pool& pool);

  /// The next node to try, or null when there is none left. Those that are not well are passed over, unless
  /// none is.
  Node* pick(Tried& tried, std::string_view hash_key);
  /// The endpoint to connect to, or null when the node's name must be resolved first (see `resolve`).
  std::shared_ptr<Endpoint> find_endpoint(Node& node, net::Resolver& resolver, Scheme wanted);
  /// How the nodes are spoken to when no plugin says otherwise.
  Scheme scheme() const { return scheme_; }

  const UpstreamOptions& options() const { return options_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  /// How many tries may follow the first.
  uint32_t retries_max() const;
  /// What a try at the node came to, for the passive checks.
  void note_answer(const Node& node, uint16_t status) {
    if (options_.health) report_answer(node, status);
  }
  [[gnu::cold]] void note_failure(const Node& node, bool is_timeout);
  bool needs_hash_key() const { return options_.type == "chash"; }

 private:
  Upstream(UpstreamOptions options, std::vector<Node> nodes, Pool& pool)
      : options_(std::move(options)), nodes_(std::move(nodes)), pool_(pool) {}
  bool is_own(const Node& node) const {  // a plugin may have chosen another upstream since the pick
    return &node >= nodes_.data() && &node < nodes_.data() + nodes_.size();
  }
  size_t index_of(const Node& node) const { return static_cast<size_t>(&node - nodes_.data()); }
  void report_answer(const Node& node, uint16_t status);
  const std::shared_ptr<const tls::ClientContext>& context_of(Scheme scheme) const;
  std::shared_ptr<Endpoint> endpoint_of(const net::SocketAddress& address, Scheme scheme) {
    return pool_.get(address, context_of(scheme));
  }
  std::shared_ptr<Endpoint> cross(Node& node, const Endpoint& endpoint, Scheme wanted);
  void use_addresses(Node& node, std::shared_ptr<const net::Resolver::Addresses> addresses);
  UpstreamOptions options_;
  Scheme scheme_ = Scheme::kHttp;
  std::vector<Node> nodes_;
  std::vector<uint32_t> candidates_;  // scratch of pick()
  std::unique_ptr<Balancer> balancer_;
  Pool& pool_;
};

}  // namespace moongate::upstream
