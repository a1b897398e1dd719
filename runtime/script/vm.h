// SPDX-License-Identifier: Apache-2.0
// One LuaJIT state with its limits: memory through the allocator, CPU time per call through the profiler's
// signal. What runs in it is host.h's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

struct lua_State;
struct lua_Debug;

namespace moongate::script {

struct VmOptions {
  std::string lua_root;  // the folder with lib/ and plugins/
  size_t memory_max_bytes = 256u << 20;
  uint32_t cpu_budget_ms = 50;  // per entry into Lua; 0: none
};

/// A Lua state under budgets.
///
/// Units:   CPU time is counted in ticks of 10 ms of this process; a call over budget ends within two ticks.
/// Owner:   one per process; the CPU budget uses SIGPROF and so belongs to the main thread.
/// Fails:   over memory: Lua's "not enough memory"; over CPU: an error that no pcall of the plugin can keep.
class Vm {
 public:
  static base::Result<std::unique_ptr<Vm>> make(const VmOptions& options);
  ~Vm();
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  lua_State* state() { return state_; }

  /// Other limits from now on.
  void set_limits(uint32_t cpu_budget_ms, size_t memory_max_bytes);
  /// Resumes `thread` with `arguments` values on its stack, under the CPU budget. Lua's status.
  int resume(lua_State* thread, int arguments);
  /// Calls the function on the main state's stack under the CPU budget; Lua's status, the error with a
  /// traceback.
  int call(int arguments, int results);
  /// True when the last resume or call was ended by the CPU budget.
  bool was_over_budget() const { return was_over_budget_; }

  /// Starts the sampling that the CPU budget and the accounts rely on: every 10 ms of CPU a sample goes to
  /// the plugin whose number `running_plugin` holds.
  void start_sampling(volatile int32_t* running_plugin, volatile uint64_t* samples, size_t samples_count);

  using Hook = void (*)(lua_State*, lua_Debug*);
  using FindHook = Hook (*)();  // null: none is wanted
  /// For signal handlers: has `hook` called as soon as the script that runs can be looked at. False when none
  /// runs, or its call is being ended.
  static bool interrupt(Hook hook);
  /// By the hook: it is not called again.
  static void end_interrupt(lua_State* state);
  /// Asked in signal context at each sample while a script runs: what it returns is called as `interrupt` has
  /// it, within compiled loops too. Null: nobody is asked.
  static void set_find_hook(FindHook find_hook);

  size_t memory_bytes() const { return memory_.used; }
  /// After a script failed: collects what it left when that is much. False when the state stays nearly full
  /// all the same.
  bool relieve();
  const VmOptions& options() const { return options_; }

 private:
  struct Memory {
    size_t used = 0;
    size_t max = 0;
    bool is_in_call =
        false;  // the limit is for scripts; what the runtime does about one that hit it may take more
    void* (*allocate)(void*, void*, size_t, size_t) = nullptr;
    void* context = nullptr;
  };
  explicit Vm(VmOptions options) : options_(std::move(options)) {}
  static void* allocate(void* self, void* block, size_t old_size, size_t new_size);
  base::Result<void> open();
  void stop_sampling();
  void begin_call(lua_State* thread);
  void end_call();

  VmOptions options_;
  Memory memory_;
  lua_State* state_ = nullptr;
  int depth_ = 0;
  bool was_over_budget_ = false;
};

}  // namespace moongate::script
