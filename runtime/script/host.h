// SPDX-License-Identifier: Apache-2.0
// Runs plugins for exchanges: finds or builds their chains, enters Lua once per phase in a recycled
// coroutine, and drives what waits. The Lua half is lua/lib/moongate/runtime/.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exchange/exchange.h"
#include "net/event_loop.h"
#include "net/resolver.h"
#include "script/vm.h"
#include "snapshot/snapshot.h"

namespace moongate::script {

class Task;

struct HostOptions {
  VmOptions vm;
  int worker_index = 0;
  int worker_count = 1;
  volatile int32_t* running_plugin = nullptr;  // in shared memory, for the watchdog; may be null
  std::function<uint32_t(std::string_view)>
      number_plugin;  // the numbers all processes agree on; may be empty
};

/// What plugins cost and did, for metrics; by plugin number.
struct PluginAccount {
  std::string name;
  uint64_t errors = 0;
  uint64_t over_budget = 0;
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

  /// Loads what a new snapshot needs that the present one has not: changed plugins are loaded and their
  /// init() called. Nothing that serves is touched.
  base::Result<void> prepare_snapshot(snapshot::Snapshot& next);
  /// The snapshot serves from now on.
  void adopt_snapshot(const snapshot::Snapshot& now);
  /// Nobody uses the snapshot any more (or it never served): plugins only it had are destroyed.
  void release_snapshot(int script_handle);

  /// Finds the exchange's chains and gives it a context. kNext, or kAnswer (503) when a plugin cannot run.
  exchange::StepResult prepare(exchange::Exchange& exchange);
  exchange::StepResult run_phase(exchange::Exchange& exchange, exchange::Phase phase);
  /// False when a plugin failed.
  bool run_header_filter(exchange::Exchange& exchange);
  /// Filters a piece of body into `out`. `is_ended` may be set by a plugin that ends the body. False when a
  /// plugin failed.
  bool filter_body(exchange::Exchange& exchange, std::string_view chunk, bool is_last, std::string* out,
                   bool* is_ended);
  void run_log(exchange::Exchange& exchange);
  bool call_filter(exchange::Exchange& exchange, const snapshot::Route& route);
  /// Ends what the exchange waits for; its coroutine is dropped.
  void cancel(exchange::Exchange& exchange);

  /// Timers run once more with premature = true; then destroy() of every plugin.
  void shut_down();
  /// CPU samples of 10 ms by plugin number since start; names beside them.
  const std::vector<PluginAccount>& accounts() const { return accounts_; }
  uint64_t samples(size_t plugin_number) const {
    return plugin_number < kPluginsMax ? samples_[plugin_number] : 0;
  }
  int32_t plugin_number(std::string_view name);
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
  std::string pop_error();
  /// Puts a task that waits back to work with `arguments` values on its stack.
  void resume_task(Task& task, int arguments);
  /// Starts a detached run of the function and arguments on top of the main stack, with nothing to answer.
  void start_detached(int arguments);
  int running_count() const { return detached_running_; }

  static constexpr size_t kPluginsMax = 1024;

 private:
  Host(net::EventLoop& loop, net::Resolver* resolver, exchange::ExchangePool& exchanges, HostOptions options,
       ResumeCallback on_resume);
  base::Result<void> open();
  Task* take_task();
  void give_task(Task* task);
  void drop_task(Task* task);
  exchange::StepResult after_resume(Task& task, int status);
  exchange::StepResult on_error(Task& task);
  int build_chain(const snapshot::PluginSet& set, const exchange::Exchange& exchange, uint32_t* phases,
                  std::string* reason);
  bool find_chain(const snapshot::PluginSet& set, exchange::Exchange& exchange, int* chain);
  bool is_quarantined(const snapshot::PluginSet& set) const;
  /// Entered for every request, and so kept at hand.
  enum class Function : uint8_t { kServe, kHeaderFilter, kBodyFilter, kLog };
  void push_function(Function function);
  void push_request(lua_State* state, exchange::Exchange& exchange);
  bool run_filter(exchange::Exchange& exchange, exchange::Phase phase, Function function);
  void note_failure(bool is_over_budget, const std::string& message);
  void relieve_memory();

  net::EventLoop& loop_;
  net::Resolver* resolver_;
  exchange::ExchangePool& exchanges_;
  HostOptions options_;
  ResumeCallback on_resume_;
  std::unique_ptr<Vm> vm_;
  int runtime_ref_ = 0;  // the table that moongate.runtime returns
  int function_refs_[4] = {};
  int current_ref_ = 0;  // the table of moongate.current
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<Task*> free_tasks_;
  Task* running_ = nullptr;
  int detached_running_ = 0;
  const snapshot::Snapshot* snapshot_ = nullptr;
  Host* former_ = nullptr;  // whose place as current() this one took: a checker beside a worker
  bool is_exiting_ = false;
  bool has_quarantine_ = false;
  std::vector<PluginAccount> accounts_;
  int32_t own_running_plugin_ = 0;
  volatile int32_t* running_plugin_ = nullptr;
  volatile uint64_t samples_[kPluginsMax] = {};
};

}  // namespace moongate::script
