// SPDX-License-Identifier: Apache-2.0
// One worker process: its loop, its plugins, its connections. It accepts only once its first snapshot is in.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "net/listener.h"
#include "net/resolver.h"
#include "proxy/access_log.h"
#include "proxy/connection.h"
#include "proxy/context.h"
#include "proxy/revocation.h"
#include "proxy/worker_metrics.h"
#include "script/host.h"
#include "script/stall_watch.h"
#include "snapshot/graveyard.h"
#include "worker/quic_front.h"
#include "worker/reload.h"
#include "worker/start.h"

namespace moongate::worker {

/// Tells the metrics how long each turn of the loop took.
struct TurnMeter final : net::TurnObserver {
  void on_turn_begin() override {}
  void on_turn_end(base::Duration took) override;

  metrics::Histogram turns;
  metrics::Gauge* longest = nullptr;
};

/// Serves on one loop.
///
/// Owner:   run() or start_on().
/// Fails:   what it cannot set up at the start is an error; afterwards faults belong to requests.
class Worker {
 public:
  static base::Result<std::unique_ptr<Worker>> make(net::EventLoop& loop, const WorkerStart& start);
  ~Worker();

  /// The snapshot serves from now on; the first one opens the doors.
  void serve(std::shared_ptr<snapshot::Snapshot> next);
  script::Host* host() { return host_.get(); }
  upstream::Pool& pool() { return pool_; }
  snapshot::Graveyard& graveyard() { return graveyard_; }
  shm::HealthBoard* health_board() const { return start_.health; }
  snapshot::Pin present() const { return context_.snapshot; }
  /// Makes what a first snapshot's settings decide: resolver, plugins, logs. An error refuses the snapshot.
  base::Result<void> set_up(const config::Settings& settings);

  /// Stops accepting; ends when the last exchange has, or after the drain timeout.
  void drain();
  void end_now();
  void reopen_logs();
  bool has_ended() const { return has_ended_; }

 private:
  Worker(net::EventLoop& loop, const WorkerStart& start);
  void start_listening();
  void apply(const config::Settings& settings);
  void open_access_log(const config::Settings& settings);
  void retire_snapshots();
  void export_plugin_accounts();
  void on_stall(const script::StallWatch::Stall& stall);
  static void on_accept(void* listener, int fd, const net::SocketAddress& peer);
  static void on_beat(void* self);
  static void on_burial(void* self);

  struct OpenListener {
    Worker* worker;
    net::Listener listener;
    proxy::ListenerTraits traits;
  };

  net::EventLoop& loop_;
  WorkerStart start_;
  snapshot::Graveyard graveyard_;  // before all that may hold a snapshot
  net::Deferred burial_;
  upstream::Pool pool_;
  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<script::Host> host_;
  std::unique_ptr<script::StallWatch> stall_watch_;
  base::SteadyTime stall_told_at_{};
  uint32_t stalls_untold_ = 0;
  proxy::Context context_;
  proxy::Revocation revocation_{context_};
  proxy::WorkerMetricsOwner metrics_;
  std::unique_ptr<proxy::AccessLog> access_log_;
  std::string access_log_path_;
  std::string access_log_format_;
  std::vector<std::unique_ptr<OpenListener>> listeners_;
  std::unique_ptr<QuicFront> quic_;
  std::unique_ptr<Reload> reload_;
  struct Retiring {
    std::weak_ptr<const snapshot::Snapshot> snapshot;
    int script_handle;
  };
  std::vector<Retiring> retiring_;  // former snapshots that exchanges still pin
  std::vector<uint64_t> exported_samples_;
  std::vector<uint64_t> exported_errors_;
  std::vector<double> exported_calls_;
  net::Timer beat_;
  TurnMeter turn_meter_;
  base::SteadyTime drain_until_{};
  bool is_draining_ = false;
  bool has_ended_ = false;
};

}  // namespace moongate::worker
