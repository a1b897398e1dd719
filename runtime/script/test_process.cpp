// SPDX-License-Identifier: Apache-2.0
// Processes that specs start. Each is killed by the kernel when the process of the test runner ends, however
// that happens.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "script/test_functions.h"

namespace moongate::script {
namespace {

struct Command {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // NAME=VALUE, beside what this process has
  std::string output;                    // file that takes stdout and stderr; empty: ours
  std::string directory;                 // empty: ours
};

int open_pid(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Runs between fork() and exec(): the parent has one thread, so anything goes.
[[noreturn]] void become(Command& command, int parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(127);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (!command.output.empty()) {
    const int file = ::open(command.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || ::dup2(file, STDOUT_FILENO) < 0 || ::dup2(file, STDERR_FILENO) < 0) ::_exit(127);
    if (file > STDERR_FILENO) ::close(file);
  }
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) ::_exit(127);
  for (std::string& variable : command.environment) ::putenv(variable.data());
  std::vector<char*> arguments;
  for (std::string& argument : command.arguments) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::signal(SIGALRM, SIG_DFL);
  ::execvp(arguments[0], arguments.data());
  ::dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], std::strerror(errno));
  ::_exit(127);
}

std::string text_at(lua_State* state, int index) {
  size_t size = 0;
  const char* text = luaL_checklstring(state, index, &size);
  return {text, size};
}

std::string field_text(lua_State* state, int table, const char* name) {
  lua_getfield(state, table, name);
  std::string text = lua_isnil(state, -1) ? std::string() : text_at(state, -1);
  lua_pop(state, 1);
  return text;
}

Command read_command(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  Command command;
  const auto count = lua_objlen(state, 1);
  if (count == 0) luaL_argerror(state, 1, "no program");
  for (size_t i = 1; i <= count; ++i) {
    lua_rawgeti(state, 1, static_cast<int>(i));
    command.arguments.push_back(text_at(state, -1));
    lua_pop(state, 1);
  }
  command.output = field_text(state, 1, "output");
  command.directory = field_text(state, 1, "directory");
  lua_getfield(state, 1, "env");
  if (lua_istable(state, -1)) {
    lua_pushnil(state);
    while (lua_next(state, -2) != 0) {
      command.environment.push_back(text_at(state, -2) + "=" + text_at(state, -1));
      lua_pop(state, 1);
    }
  }
  lua_pop(state, 1);
  return command;
}

/// spawn{program, argument..., env = {NAME = value}, output = path, directory = path} -> pid | nil, error
int spawn(lua_State* state) {
  Command command = read_command(state);
  const int parent = ::getpid();
  const int pid = ::fork();
  if (pid == 0) become(command, parent);
  if (pid < 0) {
    lua_pushnil(state);
    lua_pushstring(state, std::strerror(errno));
    return 2;
  }
  lua_pushinteger(state, pid);
  return 1;
}

int push_end(lua_State* state, int pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return luaL_error(state, "wait for %d: %s", pid, std::strerror(errno));
  }
  lua_pushinteger(state, pid);
  const bool is_exit = WIFEXITED(status);
  lua_pushstring(state, is_exit ? "exit" : "signal");
  lua_pushinteger(state, is_exit ? WEXITSTATUS(status) : WTERMSIG(status));
  return 3;
}

/// Descriptors that close with the Lua value which holds them, so that an error on the way leaks none.
struct PidSet {
  pollfd entries[64];
  int pids[64];
  nfds_t count;
};
constexpr nfds_t kPidsMax = 64;

int close_pid_set(lua_State* state) {
  auto* set = static_cast<PidSet*>(lua_touserdata(state, 1));
  for (nfds_t i = 0; i < set->count; ++i) ::close(set->entries[i].fd);
  set->count = 0;
  return 0;
}

PidSet* push_pid_set(lua_State* state) {
  auto* set = static_cast<PidSet*>(lua_newuserdata(state, sizeof(PidSet)));
  set->count = 0;
  lua_createtable(state, 0, 1);
  lua_pushcfunction(state, close_pid_set);
  lua_setfield(state, -2, "__gc");
  lua_setmetatable(state, -2);
  return set;
}

/// wait_any(pids, seconds) -> pid, "exit" or "signal", number; nil when none ended in time. Ends are told
/// once.
int wait_any(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  const double deadline = monotonic_seconds() + luaL_checknumber(state, 2);
  PidSet* set = push_pid_set(state);
  const auto count = lua_objlen(state, 1);
  if (count == 0 || count > kPidsMax) return luaL_argerror(state, 1, "1 to 64 processes");
  for (size_t i = 1; i <= count; ++i) {
    lua_rawgeti(state, 1, static_cast<int>(i));
    const int pid = static_cast<int>(luaL_checkinteger(state, -1));
    lua_pop(state, 1);
    const int fd = open_pid(pid);
    if (fd < 0) return luaL_error(state, "wait for %d: %s", pid, std::strerror(errno));
    set->pids[set->count] = pid;
    set->entries[set->count++] = {fd, POLLIN, 0};
  }
  while (true) {
    const int wait_ms = poll_limit_ms(state, deadline);
    if (::poll(set->entries, set->count, wait_ms) > 0) break;
    if (wait_ms == 0) {
      lua_pushnil(state);
      return 1;
    }
  }
  nfds_t i = 0;
  while (set->entries[i].revents == 0) ++i;
  return push_end(state, set->pids[i]);
}

/// kill(pid, "TERM" or "KILL")
int send_signal(lua_State* state) {
  const int pid = static_cast<int>(luaL_checkinteger(state, 1));
  constexpr const char* kNames[] = {"TERM", "KILL", nullptr};
  constexpr int kNumbers[] = {SIGTERM, SIGKILL};
  const int number = kNumbers[luaL_checkoption(state, 2, "TERM", kNames)];
  if (pid > 0) ::kill(pid, number);
  return 0;
}

}  // namespace

void register_test_processes(lua_State* state) {
  constexpr luaL_Reg kFunctions[] = {
      {"spawn", spawn}, {"wait_any", wait_any}, {"kill", send_signal}, {nullptr, nullptr}};
  luaL_register(state, nullptr, kFunctions);
}

}  // namespace moongate::script
