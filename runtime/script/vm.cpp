// SPDX-License-Identifier: Apache-2.0
#include "script/vm.h"

#include <signal.h>
#include <luajit-2.1/lua.hpp>

#include <atomic>

#include "base/log.h"

namespace moongate::script {
namespace {

// Beyond the limit, for errors to be reported and chains to be built in a state that a script has filled.
constexpr size_t kReserveBytes = 16u << 20;

// What the signal handler sees. One per process, as signals are.
struct Sampling {
  const void* owner = nullptr;          // the Vm that started it
  lua_State* volatile state = nullptr;  // main state, null while no call runs
  volatile uint32_t ticks = 0;          // of the present call
  volatile uint32_t ticks_max = 0;
  volatile bool is_over = false;
  volatile bool is_interrupted = false;  // a hook of interrupt() may be set
  Vm::FindHook volatile find_hook = nullptr;
  volatile int32_t* running_plugin = nullptr;
  volatile uint64_t* samples = nullptr;
  size_t samples_count = 0;
  struct sigaction luajit_action {};
};
Sampling sampling;

void on_budget_hook(lua_State* state, lua_Debug*) {
  luaL_error(state, "over its CPU budget of %d ms", static_cast<int>(sampling.ticks_max * 10));
}

// What LuaJIT does at a sample: it makes compiled code stop and look for hooks. A hook set from its callback
// would be undone, so hooks are set after this.
void stop_compiled_code(int number, siginfo_t* info, void* context) {
  const struct sigaction& action = sampling.luajit_action;
  if (action.sa_flags & SA_SIGINFO)
    action.sa_sigaction(number, info, context);
  else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
    action.sa_handler(number);
}

// Compiled code is left alone as long as nobody wants a hook: what is stopped goes on interpreted.
void on_profile_signal(int number, siginfo_t* info, void* context) {
  lua_State* state = sampling.state;
  if (!state) return;
  int32_t plugin = sampling.running_plugin ? *sampling.running_plugin : 0;
  if (plugin > 0 && static_cast<size_t>(plugin) < sampling.samples_count)
    sampling.samples[plugin] = sampling.samples[plugin] + 1;
  sampling.ticks = sampling.ticks + 1;
  if (sampling.ticks_max != 0 && sampling.ticks > sampling.ticks_max) {
    sampling.is_over = true;
    stop_compiled_code(number, info, context);
    lua_sethook(state, on_budget_hook, LUA_MASKCOUNT, 1);
  } else if (Vm::Hook hook = sampling.find_hook ? sampling.find_hook() : nullptr) {
    stop_compiled_code(number, info, context);
    Vm::interrupt(hook);
  }
}

int add_traceback(lua_State* state) {
  if (lua_isstring(state, 1)) luaL_traceback(state, state, lua_tostring(state, 1), 1);
  return 1;
}

void ignore_samples(void*, lua_State*, int, int) {}

}  // namespace

void* Vm::allocate(void* self, void* block, size_t old_size, size_t new_size) {
  auto* memory = static_cast<Memory*>(self);
  size_t max = memory->max + (memory->is_in_call ? 0 : kReserveBytes);
  if (new_size > old_size && memory->used + (new_size - old_size) > max) return nullptr;
  void* result = memory->allocate(memory->context, block, old_size, new_size);
  if (result || new_size == 0) memory->used += new_size - old_size;
  return result;
}

base::Result<std::unique_ptr<Vm>> Vm::make(const VmOptions& options) {
  std::unique_ptr<Vm> vm(new Vm(options));
  if (auto opened = vm->open(); !opened) return opened.error();
  return vm;
}

base::Result<void> Vm::open() {
  state_ = luaL_newstate();
  if (!state_) return base::invalid("no memory for a Lua state");
  // LuaJIT's allocator stays; ours counts in front of it.
  void* context = nullptr;
  memory_.allocate = lua_getallocf(state_, &context);
  memory_.context = context;
  memory_.max = options_.memory_max_bytes;
  memory_.used = static_cast<size_t>(lua_gc(state_, LUA_GCCOUNT, 0)) * 1024;
  lua_setallocf(state_, allocate, &memory_);
  luaL_openlibs(state_);
  lua_getglobal(state_, "package");
  std::string path = options_.lua_root + "/lib/?.lua;" + options_.lua_root + "/lib/?/init.lua";
  lua_pushstring(state_, path.c_str());
  lua_setfield(state_, -2, "path");
  lua_pop(state_, 1);
  // More room for machine code than the default: a gateway runs many small chains.
  constexpr const char* kTune =
      "require('jit.opt').start('maxtrace=8000', 'maxrecord=20000', 'maxirconst=10000', 'maxsnap=4000', "
      "'loopunroll=60', 'maxmcode=16384', 'sizemcode=128', 'minstitch=0')";
  if (luaL_dostring(state_, kTune) != 0) {
    std::string reason = lua_tostring(state_, -1);
    return base::invalid("tuning LuaJIT: " + reason);
  }
  return {};
}

Vm::~Vm() {
  if (sampling.owner == this) stop_sampling();
  if (!state_) return;
  // LuaJIT gives its arena back only when it closes under its own allocator; under ours each state would
  // leave a megabyte behind, and control makes one for every reload.
  lua_setallocf(state_, memory_.allocate, memory_.context);
  lua_close(state_);
}

// LuaJIT puts back the handler that was there before, which ends the process; a last tick may still be on its
// way.
void Vm::stop_sampling() {
  sigset_t profile, before;
  sigemptyset(&profile);
  sigaddset(&profile, SIGPROF);
  sigprocmask(SIG_BLOCK, &profile, &before);
  luaJIT_profile_stop(state_);
  ::signal(SIGPROF, SIG_IGN);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  sampling = {};
}

void Vm::start_sampling(volatile int32_t* running_plugin, volatile uint64_t* samples, size_t samples_count) {
  if (sampling.owner) return;  // a single process: the worker's has it, and a checker goes without
  sampling.owner = this;
  sampling.running_plugin = running_plugin;
  sampling.samples = samples;
  sampling.samples_count = samples_count;
  set_limits(options_.cpu_budget_ms, options_.memory_max_bytes);
  luaJIT_profile_start(state_, "li10", ignore_samples, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_profile_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGPROF, &action, &sampling.luajit_action);
}

void Vm::set_limits(uint32_t cpu_budget_ms, size_t memory_max_bytes) {
  options_.cpu_budget_ms = cpu_budget_ms;
  options_.memory_max_bytes = memory_.max = memory_max_bytes;
  if (sampling.owner == this) sampling.ticks_max = (cpu_budget_ms + 9) / 10;
}

void Vm::begin_call(lua_State*) {
  memory_.is_in_call = true;
  if (depth_++ > 0 || sampling.owner != this) return;
  was_over_budget_ = false;
  sampling.ticks = 0;
  sampling.is_over = false;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  sampling.state = state_;
}

void Vm::end_call() {
  if (--depth_ > 0) return;
  memory_.is_in_call = false;
  if (sampling.owner != this) return;
  sampling.state = nullptr;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  was_over_budget_ = sampling.is_over;
  if (!sampling.is_over && !sampling.is_interrupted) return;
  lua_sethook(state_, nullptr, 0, 0);
  sampling.is_interrupted = false;
}

bool Vm::interrupt(Hook hook) {
  lua_State* state = sampling.state;
  if (!state || sampling.is_over) return false;
  sampling.is_interrupted = true;
  lua_sethook(state, hook, LUA_MASKCOUNT, 1);
  return true;
}

// The budget's signal may have come meanwhile; its hook must stand.
void Vm::end_interrupt(lua_State* state) {
  lua_sethook(state, nullptr, 0, 0);
  sampling.is_interrupted = false;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (sampling.is_over) lua_sethook(state, on_budget_hook, LUA_MASKCOUNT, 1);
}

void Vm::set_find_hook(FindHook find_hook) { sampling.find_hook = find_hook; }

bool Vm::relieve() {
  if (memory_.used < memory_.max / 4 * 3) return true;
  lua_gc(state_, LUA_GCCOLLECT, 0);
  return memory_.used < memory_.max / 100 * 95;
}

int Vm::resume(lua_State* thread, int arguments) {
  begin_call(thread);
  int status = lua_resume(thread, arguments);
  end_call();
  return status;
}

int Vm::call(int arguments, int results) {
  int base = lua_gettop(state_) - arguments;
  lua_pushcfunction(state_, add_traceback);
  lua_insert(state_, base);
  begin_call(state_);
  int status = lua_pcall(state_, arguments, results, base);
  end_call();
  lua_remove(state_, base);
  return status;
}

}  // namespace moongate::script
