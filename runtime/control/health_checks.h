// SPDX-License-Identifier: Apache-2.0
// Looks after the nodes of upstreams that have `checks`: gives them slots on the board that all workers read
// (shm/health_board.h), asks them as often as their checks say (health_probe.h), and tells how they are. What
// requests show of them workers count themselves (upstream/health.h).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "config/resources.h"
#include "config/settings.h"
#include "control/health_probe.h"
#include "metrics/export.h"
#include "shm/health_board.h"
#include "snapshot/blob.h"
#include "upstream/health.h"

namespace moongate::control {

/// Shape:   a checker for each upstream with checks, also those inside routes and services; a timer for each
/// node. At most kProbesMax looks are under way at a time.
/// Runs in: control's loop. Checks begin when a snapshot serves, and not with an upstream's first request:
/// that one would go to a node of which nobody knows anything. Fails:   never: nodes for which the board has
/// no room are not looked after, and the log says so.
class HealthChecks {
 public:
  static constexpr size_t kProbesMax = 256;
  /// How long a node is left alone that nobody asks, since it has passive checks only, before requests try it
  /// again.
  static constexpr auto kUnaskedPause = std::chrono::seconds(60);

  HealthChecks(net::EventLoop& loop, shm::HealthBoard* board);

  /// What the snapshot in `view` asks for, from now on.
  void set_snapshot(const snapshot::BlobView& view, const config::Settings& settings);

  /// One checker as the Control API shows it, or null; `kind` is "routes", "services" or "upstreams".
  base::Value describe(const std::string& kind, const std::string& id) const;
  /// All of them, as far as kShownMax goes.
  base::Value describe_all() const;
  /// How many nodes are looked after, and which of them are left alone and why.
  base::Value summarize() const;
  void sample(std::vector<metrics::Sample>& samples) const;

  static constexpr size_t kShownMax = 2'000;  // nodes, in each of these

 private:
  struct Checker;
  struct Node {
    Node(HealthChecks& checks, Checker& checker) : owner(checks), of(checker), timer(on_due, this) {}
    static void on_due(void* self);

    HealthChecks& owner;
    Checker& of;
    upstream::Health::Watched watched;
    uint32_t slot = shm::HealthBoard::kNone;
    std::string host;
    uint16_t port = 0;
    std::string address;  // that was asked last
    std::string failure;  // of the last look; empty when there was an answer
    net::Timer timer;
    base::SteadyTime asked_at{};
    uint32_t turn = 0;
    bool is_waiting = false;  // in Checker::waiting
    std::unique_ptr<HealthProbe> probe;
  };
  struct Checker {
    std::string kind;
    std::string id;
    std::string upstream;  // as the log names it
    uint64_t record_hash = 0;
    std::string shown_id;     // the certificate that nodes are shown, if it is a resource of its own
    uint64_t shown_hash = 0;  // of its record
    config::HealthChecks conf;
    std::string host_sent;  // empty: the node's own
    std::shared_ptr<const tls::ClientContext> tls;
    std::vector<std::unique_ptr<Node>> nodes;
    std::deque<Node*> waiting;  // due, but too many are being asked
    uint32_t probe_count = 0;
    bool is_queued = false;  // in ready_
  };
  using Checkers = std::map<std::string, std::unique_ptr<Checker>>;  // by "kind/id"

  shm::NodeState state_of(const Node& node) const;
  base::Value describe(const Checker& checker) const;
  void read_all(const snapshot::BlobView& view, Checkers* next);
  void read(const snapshot::BlobView& view, const snapshot::Record& record, Checkers* next);
  void add(const snapshot::BlobView& view, const snapshot::Record& record, const std::string& kind,
           Checkers* next);
  void choose_tls(const snapshot::BlobView& view, const config::Upstream& conf, Checker& checker);
  void claim_slots();
  void take_over(Checker& checker, Checker& former);
  void take_probe(Node& node, Node& former);
  void plan(Node& node);
  void look_around();
  void queue(Node& node);
  void start_waiting();
  void start(Node& node);
  HealthProbe::Target make_target(const Node& node) const;
  HealthProbe::Callback on_over(Node& node);
  std::string make_request(const Node& node) const;
  void on_outcome(Node& node, const HealthProbe::Outcome& outcome);
  void let_return(Node& node);
  bool make_resolver(const config::DnsSettings& dns);

  net::EventLoop& loop_;
  shm::HealthBoard* board_;  // null: nobody looks at it
  std::unique_ptr<net::Resolver> resolver_;
  std::string trust_pem_;
  std::shared_ptr<const tls::TrustStore> trust_;
  Checkers checkers_;
  std::vector<uint64_t> plain_;  // hashes of the snapshot's records without checks, in its order
  std::deque<Checker*> ready_;   // that have nodes waiting and may ask one more
  size_t probe_count_ = 0;
  net::Timer tick_;
  std::minstd_rand random_;
};

}  // namespace moongate::control
