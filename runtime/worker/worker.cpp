// SPDX-License-Identifier: Apache-2.0
#include "worker/worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "metrics/labels.h"
#include "proxy/forward.h"
#include "proxy/steps.h"
#include "script/api_shared.h"
#include "script/regex_engine.h"

namespace moongate::worker {

using base::Clock;
using base::Result;

namespace {
constexpr auto kBurialSlice = std::chrono::microseconds(300);
}  // namespace

Worker::Worker(net::EventLoop& loop, const WorkerStart& start)
    : loop_(loop),
      start_(start),
      graveyard_([this] { burial_.schedule(loop_); }),
      burial_(on_burial, this),
      pool_(loop),
      context_(loop, pool_),
      beat_(on_beat, this) {}

Worker::~Worker() {
  loop_.forget_observer(&turn_meter_);
  listeners_.clear();
  reload_.reset();
  quic_.reset();
  while (context_.connections) context_.connections->end();
  context_.closed.clear();
  if (host_) host_->shut_down();
  context_.forwarders.clear();
  context_.snapshot.reset();
  while (!graveyard_.step(kBurialSlice)) {
  }
  burial_.cancel();
}

Result<std::unique_ptr<Worker>> Worker::make(net::EventLoop& loop, const WorkerStart& start) {
  std::unique_ptr<Worker> worker(new Worker(loop, start));
  script::install_regex_engine();
  script::bind_limit_tables(start.limits);
  if (start.metrics) script::bind_limit_metrics(*start.metrics);
  script::bind_shared_dicts(start.dicts);
  shm::ProcessSlot& slot = start.processes->slot(static_cast<uint32_t>(start.index));
  slot.start(::getpid(), Clock::wall());
  auto metrics = proxy::make_worker_metrics(*start.metrics, slot);
  if (!metrics) return metrics.error();
  worker->metrics_ = metrics.take();
  worker->context_.metrics = worker->metrics_.get();
  worker->reload_ = std::make_unique<Reload>(*worker, loop, start.control_fd, start.index);
  worker->beat_.start(loop.timers(), start.beat_period);
  return worker;
}

Result<void> Worker::set_up(const config::Settings& settings) {
  if (host_) return {};
  net::ResolverOptions dns;
  dns.hosts = settings.dns.hosts;
  dns.servers = settings.dns.servers;
  dns.timeout = settings.dns.timeout;
  auto resolver = net::Resolver::make(loop_, dns);
  if (!resolver) return resolver.error();
  resolver_ = resolver.take();
  script::HostOptions options;
  options.vm.lua_root = start_.lua_root;
  options.vm.cpu_budget_ms = settings.script.cpu_budget_ms;
  options.vm.memory_max_bytes = size_t{settings.script.memory_max_mb} << 20;
  options.worker_index = start_.index;
  options.worker_count = start_.count;
  shm::ProcessSlot& slot = start_.processes->slot(static_cast<uint32_t>(start_.index));
  static_assert(sizeof slot.running_plugin == sizeof(int32_t) && std::atomic<uint32_t>::is_always_lock_free);
  options.running_plugin = reinterpret_cast<volatile int32_t*>(&slot.running_plugin);
  options.number_plugin = [table = start_.processes](std::string_view name) {
    return table->plugin_id(name);
  };
  options.quarantine = &start_.processes->quarantine();
  options.on_progress = [&slot] { slot.beat(); };
  auto host = script::Host::make(loop_, resolver_.get(), context_.exchanges, std::move(options),
                                 [this](exchange::Exchange& exchange, exchange::StepResult result) {
                                   proxy::on_script_done(context_, exchange, result);
                                 });
  if (!host) return host.error();
  host_ = host.take();
  stall_watch_ = std::make_unique<script::StallWatch>(loop_, host_->running_plugin(),
                                                      [this](const auto& stall) { on_stall(stall); });
  context_.resolver = resolver_.get();
  context_.script = host_.get();
  return {};
}

void Worker::serve(std::shared_ptr<snapshot::Snapshot> next) {
  snapshot::Pin former = context_.snapshot;
  host_->configure(next->settings->script);
  stall_watch_->set_limit(std::chrono::milliseconds(next->settings->script.stall_ms));
  host_->adopt_snapshot(*next);
  proxy::adopt_metrics(context_, *next);
  apply(*next->settings);
  start_.processes->slot(static_cast<uint32_t>(start_.index)).snapshot_number.store(next->number);
  context_.snapshot = std::move(next);
  if (former) retiring_.push_back({former, former->script_handle});
  former.reset();
  revocation_.start(context_.snapshot->settings->client.revocation_grace);
  retire_snapshots();
  if (listeners_.empty() && !is_draining_) start_listening();
}

// A snapshot's plugins go when its last exchange has.
void Worker::retire_snapshots() {
  std::erase_if(retiring_, [this](const Retiring& retiring) {
    if (!retiring.snapshot.expired()) return false;
    host_->release_snapshot(retiring.script_handle);
    return true;
  });
}

void Worker::on_burial(void* self) {
  auto* worker = static_cast<Worker*>(self);
  if (!worker->graveyard_.step(kBurialSlice)) worker->burial_.schedule(worker->loop_);
}

void Worker::apply(const config::Settings& settings) {
  context_.client = proxy::make_client_options(settings);
  context_.encoders.set_memory_max(size_t{settings.client.coding_memory_mb} << 20);
  exchange::BodyFiles& bodies = context_.exchanges.body_files();
  bodies.directory = start_.directory;
  bodies.memory_max_bytes = size_t{settings.client.body_memory_kb} << 10;
  bodies.disk_max_bytes = uint64_t{settings.client.body_disk_max_mb} << 20;
  net::ResolverOptions dns;
  dns.hosts = settings.dns.hosts;
  dns.servers = settings.dns.servers;
  dns.timeout = settings.dns.timeout;
  dns.ttl_max = std::chrono::duration_cast<std::chrono::seconds>(settings.dns.ttl_max);
  dns.negative_ttl = std::max(std::chrono::seconds(1),
                              std::chrono::duration_cast<std::chrono::seconds>(settings.dns.negative_ttl));
  resolver_->set_options(std::move(dns));
  base::set_log_level(settings.error_log.level);
  open_access_log(settings);
}

void Worker::open_access_log(const config::Settings& settings) {
  const auto& wanted = settings.access_log;
  if (wanted.path == access_log_path_ && wanted.format == access_log_format_) return;
  access_log_path_ = wanted.path;
  access_log_format_ = wanted.format;
  context_.access_log = nullptr;
  access_log_.reset();
  if (wanted.path.empty()) return;
  bool is_relative = wanted.path != "-" && wanted.path != "stdout" && wanted.path[0] != '/';
  auto log =
      proxy::AccessLog::open(is_relative ? start_.directory + "/" + wanted.path : wanted.path, wanted.format);
  if (!log) {
    MG_LOG(kError) << log.error().detail << "; requests are served without an access log";
    return;
  }
  access_log_ = log.take();
  context_.access_log = access_log_.get();
}

void Worker::start_listening() {
  const auto index = static_cast<uint32_t>(start_.index);
  quic_ = std::make_unique<QuicFront>(context_, start_.processes->slot(index));
  for (const ListenSocket& socket : start_.listeners) {
    auto open = std::make_unique<OpenListener>();
    open->worker = this;
    open->traits.is_proxy_protocol = socket.settings.proxy_protocol;
    open->traits.is_tls = socket.settings.tls;
    open->traits.protocols = !socket.settings.http2  ? tls::Protocols::kHttp1
                             : socket.settings.http1 ? tls::Protocols::kEither
                                                     : tls::Protocols::kHttp2;
    if (socket.datagram_fd >= 0)
      open->traits.http3_port = quic_->open(socket, index, static_cast<uint32_t>(start_.count));
    open->listener.start(loop_, socket.fd, on_accept, open.get());
    listeners_.push_back(std::move(open));
  }
  start_.processes->slot(static_cast<uint32_t>(start_.index)).state.store(shm::ProcessState::kServing);
  metrics::Labels labels;
  labels.add("worker", std::to_string(start_.index));
  turn_meter_.turns = start_.metrics->histogram(metrics::Family::kLoopTurn, labels.text());
  turn_meter_.longest = start_.metrics->gauge(metrics::Family::kLoopLongestTurn, labels.text());
  turn_meter_.longest->set(0);
  loop_.observe_turns(&turn_meter_);
}

void TurnMeter::on_turn_end(base::Duration took) {
  const int64_t took_us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  turns.observe(static_cast<uint64_t>(std::max<int64_t>(took_us, 0)));
  if (took_us > longest->value()) longest->set(took_us);
}

void Worker::on_accept(void* listener, int fd, const net::SocketAddress& peer) {
  auto* open = static_cast<OpenListener*>(listener);
  Worker& worker = *open->worker;
  shm::ProcessSlot& slot = worker.start_.processes->slot(static_cast<uint32_t>(worker.start_.index));
  slot.accepted_count.fetch_add(1, std::memory_order_relaxed);
  slot.handled_count.fetch_add(1, std::memory_order_relaxed);
  new proxy::Connection(worker.context_, fd, peer, open->traits);  // in the context's list until it closes
}

void Worker::on_beat(void* self) {
  auto* worker = static_cast<Worker*>(self);
  shm::ProcessSlot& slot = worker->start_.processes->slot(static_cast<uint32_t>(worker->start_.index));
  slot.beat();
  slot.active_count.store(worker->context_.connection_count, std::memory_order_relaxed);
  // Exchanges whose log phase waits have no connection any more.
  int64_t active = worker->context_.exchanges.active();
  if (worker->host_) active -= worker->host_->waiting_logs();
  slot.writing_count.store(active, std::memory_order_relaxed);
  // A connection of HTTP/2 may carry many.
  const int64_t waiting = static_cast<int64_t>(worker->context_.connection_count) - active;
  slot.waiting_count.store(std::max<int64_t>(waiting, 0), std::memory_order_relaxed);
  worker->retire_snapshots();
  worker->export_plugin_accounts();
  if (worker->is_draining_ &&
      ((worker->context_.connection_count == 0 && worker->context_.exchanges.active() == 0) ||
       Clock::steady() >= worker->drain_until_)) {
    worker->end_now();
    return;
  }
  base::Duration period = worker->start_.beat_period;
  if (worker->is_draining_) period = std::min<base::Duration>(period, std::chrono::milliseconds(20));
  worker->beat_.start(worker->loop_.timers(), period);
}

void Worker::drain() {
  if (is_draining_) return;
  is_draining_ = context_.is_draining = true;
  listeners_.clear();
  for (ListenSocket& socket : start_.listeners) {  // whoever connects now must be refused, not left waiting
    if (socket.fd >= 0) ::close(socket.fd);
    socket.fd = -1;
  }
  start_.processes->slot(static_cast<uint32_t>(start_.index)).state.store(shm::ProcessState::kDraining);
  auto timeout =
      context_.snapshot ? context_.snapshot->settings->drain_timeout : std::chrono::milliseconds(0);
  drain_until_ = Clock::steady() + timeout;
  if (quic_) quic_->drain();
  for (proxy::Connection* connection = context_.connections; connection;) {
    proxy::Connection* after = connection->next;
    connection->drain();
    connection = after;
  }
  beat_.start(loop_.timers(), std::chrono::milliseconds(1));
}

void Worker::end_now() {
  has_ended_ = true;
  beat_.stop();
  listeners_.clear();
  loop_.stop();
}

void Worker::reopen_logs() {
  if (auto reopened = base::reopen_log(); !reopened) MG_LOG(kError) << reopened.error().detail;
  if (access_log_) access_log_->reopen();
}

void Worker::export_plugin_accounts() {
  if (!host_) return;
  const auto& accounts = host_->accounts();
  exported_samples_.resize(accounts.size());
  exported_errors_.resize(accounts.size());
  exported_calls_.resize(accounts.size() * script::Host::kPhasesMax);
  for (size_t i = 1; i < accounts.size(); i++) {
    if (accounts[i].name.empty()) continue;
    uint64_t samples = host_->samples(i);
    proxy::count_plugin(context_, accounts[i].name, samples - exported_samples_[i],
                        accounts[i].errors - exported_errors_[i]);
    for (size_t phase = 1; phase < static_cast<size_t>(exchange::Phase::kCount); phase++) {
      const size_t at = i * script::Host::kPhasesMax + phase;
      const double calls = host_->plugin_calls()[at];
      proxy::count_plugin_calls(context_, accounts[i].name, static_cast<exchange::Phase>(phase),
                                static_cast<uint64_t>(calls - exported_calls_[at]));
      exported_calls_[at] = calls;
    }
    exported_samples_[i] = samples;
    exported_errors_[i] = accounts[i].errors;
  }
}

// A plugin that stalls every turn would fill the log.
void Worker::on_stall(const script::StallWatch::Stall& stall) {
  constexpr auto kPause = std::chrono::seconds(10);
  proxy::count_stall(context_);
  base::SteadyTime now = Clock::steady_now();
  if (stall_told_at_ != base::SteadyTime{} && now - stall_told_at_ < kPause) {
    stalls_untold_++;
    return;
  }
  stall_told_at_ = now;
  std::string others =
      stalls_untold_ == 0 ? "" : " (" + std::to_string(stalls_untold_) + " more since the last report)";
  stalls_untold_ = 0;
  std::string who =
      host_->describe_plugin(stall.plugin) + (stall.stack.empty() ? " was running" : " was at:");
  if (stall.plugin == 0 && stall.stack.empty()) who = "no plugin was running";
  MG_LOG(kWarn) << "a turn of the loop took " << stall.took.count() << " ms, and every request waited"
                << others << "; " << who << stall.stack;
}

// --- entry points
// ---------------------------------------------------------------------------------------------

namespace {

struct Signals {
  net::SignalWatch term, quit, reopen;
  void watch(net::EventLoop& loop, Worker& worker) {
    auto on_signal = [](void* self, int number) {
      auto* target = static_cast<Worker*>(self);
      if (number == SIGTERM) target->end_now();
      if (number == SIGQUIT) target->drain();
      if (number == SIGUSR1) target->reopen_logs();
    };
    term.start(loop, SIGTERM, on_signal, &worker);
    quit.start(loop, SIGQUIT, on_signal, &worker);
    reopen.start(loop, SIGUSR1, on_signal, &worker);
  }
};

struct Embedded {
  Signals signals;
  std::unique_ptr<Worker> worker;
  ~Embedded() { worker.reset(); }
};

}  // namespace

int run(const WorkerStart& start) {
  base::set_log_role("worker " + std::to_string(start.index));
  auto loop = net::EventLoop::make();
  if (!loop) {
    MG_LOG(kEmerg) << loop.error().detail;
    return 1;
  }
  auto worker = Worker::make(**loop, start);
  if (!worker) {
    MG_LOG(kEmerg) << worker.error().detail;
    return 1;
  }
  Signals signals;
  signals.watch(**loop, **worker);
  (*loop)->run();
  return 0;
}

Result<std::shared_ptr<void>> start_on(net::EventLoop& loop, const WorkerStart& start) {
  auto worker = Worker::make(loop, start);
  if (!worker) return worker.error();
  auto embedded = std::make_shared<Embedded>();
  embedded->worker = worker.take();
  embedded->signals.watch(loop, *embedded->worker);
  return std::shared_ptr<void>(embedded);
}

}  // namespace moongate::worker
