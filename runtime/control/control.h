// SPDX-License-Identifier: Apache-2.0
// The process that listens for change. It owns what the instance is to serve: reads the sources, numbers the
// snapshots, brings them to the workers, keeps them on disk, and answers those who ask how things are. It
// never serves a request, so it may take its time.
//
//   file change ─┐                         ┌► PREPARE ... READY ──► SWITCH ... SWITCHED ─► store, answer
//   reload       ├─► jobs, one at a time ──┤
//   rollback     │                         └► unchanged or refused ────────────────────────► answer
//   Admin API   ─┤
//   etcd        ─┘
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/acme.h"
#include "control/admin_api.h"
#include "control/audit_log.h"
#include "control/command_server.h"
#include "control/control_api.h"
#include "control/etcd_store.h"
#include "control/file_watch.h"
#include "control/health_checks.h"
#include "control/live_configuration.h"
#include "control/loader.h"
#include "control/metrics_page.h"
#include "control/page_server.h"
#include "control/recheck.h"
#include "control/schema_catalog.h"
#include "control/stapling.h"
#include "control/start.h"
#include "control/switch_round.h"
#include "control/sync_batch.h"
#include "control/worker_links.h"
#include "net/event_loop.h"
#include "snapshot/store.h"

namespace moongate::control {

/// What is to be served.
struct CurrentSnapshot {
  std::string blob;
  snapshot::BlobView view;  // of it
  snapshot::Descriptor memfd;
  snapshot::StoredSnapshot about;
  config::DataEncryptionSettings data_encryption;
  bool is_stored = false;
  std::vector<std::string> quarantined;  // "routes/ID: reason"
};

/// What a round brings to the resource store when its workers are ready.
struct PendingWrites {
  std::unique_ptr<AdminBatch> batch;  // of writes; null for a rollback and for news of etcd
  std::vector<StoredChange> changes;
  uint64_t revision = 0;
  std::vector<size_t> counts;  // of changes in each transaction of etcd's
  bool is_news = false;        // etcd has them already
  bool is_conflict = false;    // etcd has something else than what they were made from
};

/// Why the last attempt to change it failed; empty when it did not.
struct LastError {
  std::vector<std::string> texts;
  uint64_t at_ms = 0;
};

class Control {
 public:
  static base::Result<std::unique_ptr<Control>> make(net::EventLoop& loop, const ControlStart& start);

 private:
  /// A wish for another snapshot, and who waits for it.
  struct Job {
    std::optional<uint64_t> rollback_to;  // nothing: read the sources; 0: the one before
    std::string reason;
    bool is_forced = false;  // asked for: what is served is compared, not what was read last
    std::vector<CommandServer::Answer> answers;
    std::vector<AdminWrite> writes = {};              // not empty: of the Admin API, and none of the above
    bool is_single = false;                           // takes no more writes
    std::optional<base::SteadyTime> give_up_at = {};  // of writes that were tried already
    bool is_sync = false;                             // news of etcd, and none of the above
    std::vector<StoredChange> news = {};              // some of them; empty: those that wait
    AdminCaller caller = {};                          // of a rollback
    bool is_again = false;  // workers have refused the sources for what is held back by now
  };

  Control(net::EventLoop& loop, const ControlStart& start);
  base::Result<void> open();
  AdminApi::Callbacks admin_callbacks();
  base::Result<void> open_admin();
  void set_admin_access();
  const config::EncryptedFields* encrypted_fields();
  base::Result<void> take_first_snapshot();
  void keep_ticket_keys();
  /// `memfd` holds the same bytes, if it is open; else they are written to a new one.
  base::Result<void> set_current(std::string blob, snapshot::Descriptor memfd = {});

  // jobs.cpp: changes of snapshots
  void add_job(Job job);
  void start_next_job();
  void run_reload(Job& job);
  bool hold_blamed(const snapshot::BlobView& view, const snapshot::PluginFaults& faults);
  ResourceStore::Map stored_with_held();
  void run_rollback(Job& job);
  bool is_as_read(const Loaded& loaded) const;
  bool serves_code(const std::string& path, uint64_t hash) const;
  void note_sources(const Loaded& loaded);
  LoadOptions load_options();
  void watch_sources(const Loaded& loaded);
  void watch_good_sources();
  void look_at_sources();
  bool take_load_notes();
  void start_round(std::string blob);
  void find_new_code();
  snapshot::PluginFaults blamed_new_code() const;
  void on_round_progress();
  void commit_round();
  void audit_rollback();
  void save_snapshot(base::Durability durability);
  void end_catching_up();
  Job take_job();
  Job take_back_job();
  void compact_store();
  void finish_job(const base::Value& answer);
  void refuse_job(std::vector<std::string> errors);
  void restart_deadline();
  static void on_round_deadline(void* self);
  std::vector<std::string> warn_about_settings(const config::Settings& settings) const;

  // admin_jobs.cpp: writes of the Admin API
  void add_write(AdminWrite write);
  void run_writes(Job& job);
  std::string rollback_words() const;
  std::optional<base::Result<void>> store_pending();
  void note_stored();
  void end_writes();
  void refuse_writes(uint16_t status, const std::string& reason);
  bool set_blamed_aside(const std::string& reason);
  void try_apart(Job job);
  enum class Scripts : uint8_t { kNone, kChanges, kSchemas };
  void keep_scripts(Scripts kept);
  void end_scripts();
  void apply_file(const base::Value& request, const CommandServer::Answer& answer);
  void expire_resources();
  std::vector<StoredChange> changes_to(const snapshot::BlobView& past) const;
  HttpResponse validate_all(const base::Value& body);

  // etcd_jobs.cpp: writes to the store that gateways share
  base::Result<void> open_store();
  base::Result<void> open_shared_store();
  void on_shared_state();
  std::string refuse_shared_writes() const;
  void hold_writes();
  void go_on_later();
  std::vector<EtcdTransaction> make_transactions();
  void add_change(const StoredChange& change, EtcdTransaction* transaction) const;
  bool is_forced(const ResourceKey& key) const;
  void on_shared_write(const SharedOutcome& outcome);
  base::Result<void> take_shared_outcome(const SharedOutcome& outcome);
  base::Value describe_store() const;
  void sample_store(std::vector<metrics::Sample>& samples) const;

  // sync_jobs.cpp: what others wrote there
  void on_shared_news();
  void queue_shared_news();
  void take_shared_news();
  void note_shared_change(const ResourceKey& key, const SharedChange& change);
  void run_sync(Job& job);
  void judge_news(Job& job, bool is_retry, SyncBatch* batch);
  void judge_again(SyncBatch* batch);
  void begin_recheck();
  void take_back_recheck(bool is_invalid);
  void bound_recheck(const Job& job);
  bool blame_plugins(const std::vector<StoredChange>& changes, Job* job);
  void blame_rechecked(const std::vector<StoredChange>& changes, const std::string& reason);
  bool run_whole_sync(Job& job);
  ResourceStore::Map wanted_resources() const;
  bool close_wrong(const Loaded& loaded, ResourceStore::Map* wanted,
                   std::map<ResourceKey, size_t>* tries) const;
  std::string sync_reason() const;
  void end_sync();
  void refuse_sync(bool is_invalid, const std::string& reason);
  void keep_news(const std::vector<StoredChange>& changes);
  void end_hold();
  uint64_t synced_revision() const;

  // workers.cpp: one worker at a time
  void on_worker_message(WorkerLink& link, snapshot::Message message);
  void on_hello(WorkerLink& link, const snapshot::Message& message);
  void on_refused(WorkerLink& link, const snapshot::Message& message, bool is_of_round);
  void on_worker_gone(WorkerLink& link);
  void bring_up_to_date(WorkerLink& link);
  void note_serving();
  bool leave_in_quarantine(const snapshot::PluginFaults& faults);
  void fall_back(const std::string& reason);
  void on_supervisor_messages();
  void on_supervisor_message(snapshot::Message message);
  void tell_supervisor(snapshot::MessageType type, uint64_t number = 0, std::string text = {});
  void reopen_logs();
  void bring_staples(WorkerLink& link);
  void on_staples();
  void bring_issued(WorkerLink& link);
  void on_issued();
  void bring_challenges(WorkerLink& link);
  void on_challenges();
  void look_for_offered();

  // status.cpp
  void on_command(const std::string& command, const base::Value& request,
                  const CommandServer::Answer& answer);
  base::Value status() const;
  base::Value describe_worker(uint32_t index) const;
  base::Value list_snapshots() const;
  base::Value list_history() const;
  base::Result<base::Value> compare_snapshot(uint64_t number) const;
  void add_instance_callbacks(AdminApi::Callbacks* callbacks);
  metrics::ExportOptions export_options() const;
  void add_pages();

  net::EventLoop& loop_;
  ControlStart start_;
  std::optional<snapshot::Store> store_;
  CurrentSnapshot current_;
  std::deque<snapshot::StoredSnapshot> served_;   // since control runs, the last of them
  config::Settings first_settings_;               // what cannot change before the next start
  std::optional<snapshot::Hash128> source_hash_;  // of what the files held when they were read last
  std::map<std::string, LoadedCode> source_code_;
  uint64_t next_number_ = 1;
  LastError last_error_;
  bool is_serving_ = false;    // every worker has served once
  bool is_last_good_ = false;  // the sources could not be used at the start, nor since
  /// The process before this one died, and may have brought workers further than it has written down: they
  /// are left there until the sources are read.
  bool is_catching_up_ = false;

  WorkerLinks links_;
  std::deque<Job> jobs_;
  bool is_job_begun_ = false;  // the first of them
  std::optional<SwitchRound> round_;
  snapshot::PluginFaults blamed_;    // by workers, in the last round
  snapshot::PluginFaults new_code_;  // of plugins, that it would have brought when it was refused
  std::string round_blob_;
  snapshot::Descriptor round_memfd_;
  SwitchRound::State round_state_seen_ = SwitchRound::State::kPreparing;
  net::Timer round_deadline_;
  net::Deferred next_job_;

  KnownGood known_;
  FileWatch files_;
  std::vector<std::string> good_files_;  // what the last load without a mistake has read
  std::vector<std::string> good_folders_;
  std::optional<ResourceStore> resources_;
  SnapshotChecker checker_;
  LiveConfiguration live_;
  SchemaCatalog catalog_;
  std::optional<config::EncryptedFields> fields_;  // of the plugins there are, once somebody has asked
  snapshot::Hash128 fields_of_;                    // the snapshot they were asked for
  AuditLog audit_;
  PendingWrites pending_;

  std::unique_ptr<EtcdStore> shared_;  // null: resources_ is the store, and else what is known of it
  std::vector<StoredChange> news_;     // of etcd, in the order of references
  uint64_t synced_revision_ = 0;       // see synced_revision()
  bool is_synced_ = false;             // all that was taken is served
  std::map<ResourceKey, uint64_t> own_changes_;  // which etcd has not told of yet, with their revisions
  Recheck recheck_;
  std::vector<Job> held_;  // writes that wait for news
  net::Timer later_;
  bool is_holding_workers_ = false;  // nothing was ever read: a gateway that knows no routes serves nobody
  net::Timer hold_;
  HealthChecks health_;
  std::optional<AdminApi> admin_;
  std::optional<ControlApi> control_api_;
  std::string admin_key_;
  net::Timer expiry_;
  net::Timer save_later_;
  net::Timer look_later_;  // at the sources
  CommandServer commands_;
  PageServer pages_;
  Stapling stapling_;
  snapshot::Descriptor staples_memfd_;  // what the workers staple; not open while nothing ever was
  // At the end of the turn: a worker found dead on the way may change what is wanted.
  net::Deferred issued_later_{[](void* self) { static_cast<Control*>(self)->on_issued(); }, this};
  net::Deferred challenges_later_{[](void* self) { static_cast<Control*>(self)->on_challenges(); }, this};
  Acme acme_;
  snapshot::Descriptor issued_memfd_;  // likewise, of certificates that were issued
  snapshot::Descriptor supervisor_;
  net::FdWatch supervisor_watch_;
  net::SignalWatch hangup_;
  net::SignalWatch reopen_;
  net::SignalWatch terminate_;
  net::Timer beat_;
};

}  // namespace moongate::control
