// SPDX-License-Identifier: Apache-2.0
// Runs plugins for exchanges: finds or builds their chains, enters Lua once per phase in a recycled
// coroutine, and drives what waits. The Lua half is lua/lib/moongate/runtime/.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exchange/exchange.h"
#include "net/event_loop.h"
#include "net/resolver.h"
#include "script/plugin_accounts.h"
#include "script/vm.h"
#include "snapshot/refusal.h"
#include "snapshot/snapshot.h"

namespace moongate::script {

class Task;

struct HostOptions {
  VmOptions vm;
  int worker_index = 0;
  int worker_count = 1;
  volatile int32_t* running_plugin = nullptr;  // in shared memory, for the watchdog; may be null
  std::function<uint32_t(std::string_view)>
      number_plugin;                           // the numbers all processes agree on; may be empty
  shm::QuarantineBoard* quarantine = nullptr;  // in shared memory; may be null
  std::function<void()>
      on_progress;  // called between plugins that are loaded: it takes long with many; may be empty
};

/// The plugins of one worker.
///
/// Shape:   one Vm; coroutines in a pool; chains live in Lua under small integers.
/// Runs in: a worker's loop. Never blocks; what waits is resumed from the loop.
/// Fails:   an error in a plugin answers 500 for its exchange; over budget too, and again and again puts the
/// plugin in
///          quarantine: its routes answer 503 until its code or conf changes.
class Host {
 public:
  using ResumeCallback = std::function<void(exchange::Exchange&, exchange::StepResult)>;
  static base::Result<std::unique_ptr<Host>> make(net::EventLoop& loop, net::Resolver* resolver,
                                                  exchange::ExchangePool& exchanges, HostOptions options,
                                                  ResumeCallback on_resume);
  ~Host();

  /// Budgets as a snapshot's settings have them.
  void configure(const config::ScriptSettings& settings);
  /// Loads what a new snapshot needs that the present one has not: changed plugins are loaded and their
  /// init() called, each under the budget of one entry. Nothing that serves is touched.
  /// Without `is_started` no init() runs: for who looks at a snapshot and does not serve it.
  base::Result<void> prepare_snapshot(snapshot::Snapshot& next, bool is_started = true);
  /// Whose code kept the last prepare_snapshot() from it; others may be to blame too where one was cut off.
  const snapshot::PluginFaults& plugin_faults() const { return plugin_faults_; }
  /// The snapshot serves from now on.
  void adopt_snapshot(const snapshot::Snapshot& now);
  /// Nobody uses the snapshot any more (or it never served): plugins only it had are destroyed.
  void release_snapshot(int script_handle);

  /// Finds the exchange's chains and gives it a context. kNext, or kAnswer (503) when a plugin cannot run.
  exchange::StepResult prepare(exchange::Exchange& exchange);
  /// Runs a phase. kWait: the callback gets the result, with exchange.phase as it is here. kAnswer: the
  /// exchange holds an answer, a plugin's own or the error of one that failed. Filters and log only fail.
  exchange::StepResult run_phase(exchange::Exchange& exchange, exchange::Phase phase);
  /// The same for a piece of body; take_filtered() has the outcome of kNext.
  exchange::StepResult filter_body(exchange::Exchange& exchange, std::string_view chunk, bool is_last);
  struct Filtered {
    std::string text;
    bool is_ended = false;  // a plugin says that the body ends here
  };
  Filtered take_filtered() { return std::move(filtered_); }
  /// What the route's filter_func says; nothing when it fails.
  std::optional<bool> call_filter(exchange::Exchange& exchange, const snapshot::Route& route);
  /// What a search for a route learns of `post_arg_NAME`, `post_arg.PATH` or `graphql_*`.
  struct BodyAnswer {
    enum class Kind : uint8_t { kAbsent, kFound, kBodyMissing, kUnreadable };
    Kind kind = Kind::kAbsent;
    uint16_t fault_status = 0;  // when it is unreadable
    std::string_view text;      // the value or the fault's reason; it lives as long as the request
  };
  /// With an element: whether the variable is a list that has it.
  BodyAnswer ask_body(exchange::Exchange& exchange, std::string_view name, const std::string_view* element);
  /// The search is over.
  void forget_body();
  /// Ends what the exchange waits for; its coroutine is dropped. False when it is running: the exchange must
  /// live until it has come back.
  bool cancel(exchange::Exchange& exchange);

  /// Timers run once more with premature = true; then destroy() of every plugin.
  void shut_down();
  /// CPU samples of 10 ms by plugin number since start; names beside them.
  const std::vector<PluginAccount>& accounts() const { return accounts_.all(); }
  uint64_t samples(size_t plugin_number) const {
    return plugin_number < kPluginsMax ? samples_[plugin_number] : 0;
  }
  /// Calls by 8 * plugin number + phase. Whole numbers: compiled Lua adds to a double without making an
  /// object.
  double* plugin_calls() { return calls_.data(); }
  static constexpr size_t kPhasesMax = 8;
  int32_t plugin_number(std::string_view name) { return accounts_.number_of(name); }
  std::string describe_plugin(int32_t number) const { return accounts_.describe(number); }
  bool is_quarantined(int32_t plugin_number) const { return accounts_.is_quarantined(plugin_number); }
  bool is_exiting() const { return is_exiting_; }

  // For the api_*.cpp files.
  static Host& current();
  Vm& vm() { return *vm_; }
  net::EventLoop& loop() { return loop_; }
  net::Resolver* resolver() { return resolver_; }
  exchange::ExchangePool& exchanges() { return exchanges_; }
  const HostOptions& options() const { return options_; }
  const snapshot::Snapshot* snapshot() const { return snapshot_; }
  Task* running() { return running_; }
  volatile int32_t* running_plugin() { return running_plugin_; }
  bool push_function(const char* name);
  void keep_entries(const char* name, std::array<int, kPhasesMax>* entries);
  std::string pop_error();
  /// Puts a task that waits back to work with `arguments` values on its stack.
  void resume_task(Task& task, int arguments);
  /// Starts a detached run of the function and arguments on top of the main stack, with nothing to answer.
  void start_detached(int arguments);
  int running_count() const { return detached_running_; }
  /// How long hooks of the exchange's phase may wait; 0: as long as they like.
  base::Duration waiting_limit(exchange::Exchange& exchange) const;
  bool may_log_wait(const exchange::Exchange& exchange) const;
  uint32_t waiting_logs() const { return waiting_logs_; }
  /// A task has waited for too long.
  void end_overdue(Task& task);

  static constexpr size_t kPluginsMax = PluginAccounts::kPluginsMax;

 private:
  Host(net::EventLoop& loop, net::Resolver* resolver, exchange::ExchangePool& exchanges, HostOptions options,
       ResumeCallback on_resume);
  base::Result<void> open();
  Task* take_task();
  void give_task(Task* task);
  void drop_task(Task* task);
  exchange::StepResult enter(Task& task, int arguments);
  Task& begin_task(exchange::Exchange& exchange, exchange::Phase phase);
  exchange::StepResult after_resume(Task& task, int status);
  [[gnu::cold]] exchange::StepResult on_error(Task& task);
  bool take_exit(exchange::Exchange& exchange, exchange::StepResult* result);
  [[gnu::cold]] void fail_exchange(exchange::Exchange& exchange, uint16_t status, std::string_view reason);
  void drop_waiting(Task& task);
  void count_waiting_log(Task& task);
  void build_chain(const snapshot::PluginSet& set, const exchange::Exchange& exchange,
                   snapshot::ChainHandle* built);
  base::Error give_up_snapshot();
  void adopt_secrets(const snapshot::Snapshot& now);
  bool find_chain(const snapshot::PluginSet& set, exchange::Exchange& exchange, int* chain);
  [[gnu::cold]] void note_failure(bool is_over_budget, const exchange::Exchange* exchange,
                                  const std::string& message);
  void relieve_memory();

  net::EventLoop& loop_;
  net::Resolver* resolver_;
  exchange::ExchangePool& exchanges_;
  HostOptions options_;
  ResumeCallback on_resume_;
  std::unique_ptr<Vm> vm_;
  int runtime_ref_ = 0;                          // the table that moongate.runtime returns
  std::array<int, kPhasesMax> first_entries_{};  // its functions that requests enter, by phase: at first
  std::array<int, kPhasesMax> later_entries_{};  // and when Lua knows the request
  int current_ref_ = 0;                          // the table of moongate.current
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<Task*> free_tasks_;
  Task* running_ = nullptr;
  int detached_running_ = 0;
  Filtered filtered_;
  base::Duration wall_budget_{0};
  uint32_t waiting_logs_ = 0;
  size_t waiting_logs_bytes_ = 0;
  const snapshot::Snapshot* snapshot_ = nullptr;
  Host* former_ = nullptr;  // whose place as current() this one took: a checker beside a worker
  bool is_exiting_ = false;
  PluginAccounts accounts_;
  snapshot::PluginFaults plugin_faults_;
  int32_t own_running_plugin_ = 0;
  volatile int32_t* running_plugin_ = nullptr;
  volatile uint64_t samples_[kPluginsMax] = {};
  std::vector<double> calls_ = std::vector<double>(kPluginsMax * kPhasesMax);
};

}  // namespace moongate::script
