// SPDX-License-Identifier: Apache-2.0
// Makes a Snapshot from a blob, in slices, so that a worker builds the next while it serves the present one.
// Objects whose sources did not change are taken over from the present snapshot, with what others left on
// them. Where only some routes changed, everything else is taken over as a whole (compiler_patch.cpp).
#pragma once

#include <memory>

#include "config/resources.h"
#include "router/router_builder.h"
#include "router/router_patch.h"
#include "snapshot/blob.h"
#include "snapshot/graveyard.h"
#include "snapshot/health.h"
#include "snapshot/snapshot.h"
#include "upstream/pool.h"

namespace moongate::snapshot {

/// Why a resource cannot serve.
struct Complaint {
  RecordKind kind;
  std::string id;
  std::string place;            // "path:line", as far as it is known
  std::string detail;           // "field: what is wrong"
  bool is_consequence = false;  // of something else that is complained about

  std::string text() const { return place + ": " + id + ": " + detail; }
};

/// Compiles one blob.
///
/// Shape:   phases over the records of one kind each; step() does a bounded amount of work.
/// Owner:   the worker's reload; the blob's bytes must outlive it, the Snapshot does not need them.
/// Fails:   finish() gives an error only for settings that cannot be used; a resource that cannot serve makes
/// its
///          routes answer 503 and is named in `complaints`.
class Compiler {
 public:
  /// `blob` was begun; its records are read here.
  Compiler(BlobView blob, Pin present, upstream::Pool& pool, Graveyard& graveyard);
  ~Compiler();

  /// Where upstreams look up how their nodes are; without one all nodes are well.
  void use_health_board(shm::HealthBoard* board) { health_board_ = board; }
  /// Works for about `budget`; true when everything is compiled.
  bool step(base::Duration budget);
  base::Result<std::shared_ptr<Snapshot>> finish();
  const std::vector<Complaint>& complaints() const { return complaints_; }

 private:
  enum class Stage : uint8_t {
    kRecords,
    kSurroundings,
    kCompare,
    kPatchRoutes,
    kPatchRouter,
    kIndex,
    kSettings,
    kSources,
    kCertificates,
    kUpstreams,
    kServices,
    kGroups,
    kConsumers,
    kCredentials,
    kRoutes,
    kRouter,
    kDone
  };
  struct ServiceEntry {
    config::Service conf;
    std::vector<PluginConf> plugins;
    std::shared_ptr<upstream::Upstream> upstream;
    std::string fault;
    uint64_t hash = 0;     // of what a route that is taken over must find again: the upstream, as it is here
    uint64_t content = 0;  // of the resource alone: the same in every worker
  };

  struct GroupEntry {
    std::string id;
    std::vector<PluginConf> plugins;
    uint64_t hash = 0;
  };
  /// A record of a route that the present snapshot does not have like this.
  struct RouteChange {
    const Record* record = nullptr;    // null: it is gone
    uint32_t entry = 0;                // in Snapshot::route_order
    uint32_t had = RouteIndex::kNone;  // slot of its predecessor
  };
  struct RouteInput;
  void do_some();
  void read_records();
  void begin_snapshot(std::shared_ptr<Surroundings> around);
  void begin_anew();
  void read_surroundings();
  bool compare_routes();
  void compare_one();
  uint32_t keep_left_out(std::string_view id);
  void begin_patch();
  void patch_some_routes();
  void patch_route(const RouteChange& change);
  void finish_patch();
  void index_present();
  void note_source_hashes();
  void read_settings();
  void read_sources();
  void read_trust();
  void add_certificate(const Record& record);
  void refuse_certificate(const Record& record, const std::string& reason);
  const ServerCertificate* find_former_certificate(const std::string& id, uint64_t print) const;
  base::Result<ServerCertificate> make_certificate(const config::Ssl& ssl, uint64_t print,
                                                   bool is_for_quic) const;
  void close_name(const std::string& name);
  void close_names(std::string_view up_to_id, bool is_to_end);
  void add_client_certificate(const Record& record, const config::Ssl& ssl);
  void finish_certificates();
  void add_upstream(const Record& record);
  void add_service(const Record& record);
  void add_group(const Record& record);
  void add_consumer(const Record& record);
  void add_credential(const Record& record);
  void add_credential_of(uint32_t consumer, const std::string& credential_id, const PluginConf& plugin);
  void add_route(const Record& record);
  void add_global_rule(const Record& record);
  void finish_globals();
  ServiceEntry* find_service(const std::string& id);
  void close_without_service(RouteInput* input) const;
  bool is_shared() const { return next_->settings->etcd.is_used(); }
  GroupEntry* find_plugin_config(const std::string& id);
  std::shared_ptr<Route> compile_route(const Record& record);
  static uint64_t print_of(const Record& record);
  uint32_t find_present_route(std::string_view id);
  const Route* present_route(std::string_view id) const;
  void add_to_list(const Record& record, std::shared_ptr<const Route> route);
  void leave_out(const Record& record);
  bool reuse_route(const Record& record);
  std::shared_ptr<Route> make_route(const RouteInput& input);
  void take_over(const std::string& id, Route& route) const;
  std::shared_ptr<const router::RouteSpec> make_spec(const RouteInput& input);
  bool add_to_router(const Record& record, std::shared_ptr<const router::RouteSpec> spec);
  bool has_same_upstream_settings() const;
  bool is_current(const upstream::Upstream& upstream) const;
  std::shared_ptr<upstream::Upstream> find_present_upstream(const std::string& id, uint64_t hash) const;
  void keep_upstream(const std::string& id, uint64_t hash, std::shared_ptr<upstream::Upstream> made);
  std::shared_ptr<upstream::Upstream> make_upstream(const config::Upstream& conf, const std::string& id,
                                                    std::string* fault);
  base::Result<void> choose_tls(const config::Upstream& conf, upstream::UpstreamOptions* options);
  base::Result<tls::CertificatePair> find_client_certificate(const config::UpstreamTls& conf) const;
  base::Result<std::shared_ptr<const tls::ClientContext>> make_client_context(
      const tls::ClientOptions& options);
  uint64_t plugins_fingerprint(const std::vector<PluginConf>& plugins) const;
  void complain(const Record& record, const std::string& what, bool is_consequence = false);
  std::vector<PluginConf> to_plugins(const Record& record, const std::vector<config::PluginConf>& confs,
                                     const std::string& resource_key, const std::string& version);

  BlobView blob_;
  Pin present_;
  upstream::Pool& pool_;
  Graveyard& graveyard_;
  shm::HealthBoard* health_board_ = nullptr;
  std::shared_ptr<Snapshot> next_;
  base::Result<void> fault_;
  Stage stage_ = Stage::kRecords;
  size_t position_ = 0;    // within the stage
  size_t present_at_ = 0;  // where in the present snapshot's order the next route is likely to be
  RouteIndex present_index_;
  Hasher surroundings_;
  Hash128 print_;  // of the surroundings

  // While the present snapshot is patched.
  bool is_patching_ = false;
  std::vector<RouteChange> changes_;
  const Route* patched_ = nullptr;  // what the route at hand was
  std::unique_ptr<router::Router::Patch> patch_;

  std::unique_ptr<router::Router::Builder> router_;
  std::unordered_map<std::string, std::unique_ptr<ServiceEntry>> services_;
  std::unordered_map<std::string, std::unique_ptr<GroupEntry>> plugin_configs_;
  std::unordered_map<std::string, std::unique_ptr<GroupEntry>> consumer_groups_;
  std::unordered_map<std::string, uint64_t> source_hashes_;
  std::vector<std::unique_ptr<GroupEntry>> global_rules_;
  std::shared_ptr<tls::ServerNames> server_names_ = std::make_shared<tls::ServerNames>();
  size_t closed_at_ = 0;  // the next record of closed names
  std::vector<Complaint> complaints_;
};

/// The timeouts of an upstream or a route.
upstream::Timeouts to_timeouts(const config::Timeouts& conf);

}  // namespace moongate::snapshot
