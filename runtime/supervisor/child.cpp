// SPDX-License-Identifier: Apache-2.0
#include "supervisor/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/log.h"

namespace moongate::supervisor {
namespace {

void reset_signals() {
  for (const int number : {SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM}) ::signal(number, SIG_DFL);
  // A ^C in the terminal reaches every process of the group; only the supervisor decides what it means.
  for (const int number : {SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

base::Result<int> fork_child(const std::string& title, const std::function<int()>& main) {
  std::fflush(nullptr);
  const int parent = ::getpid();
  const int pid = ::fork();
  if (pid < 0) return base::io_error("fork");
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);  // it died before it could tell us
  ::prctl(PR_SET_NAME, title.c_str(), 0, 0, 0);
  reset_signals();
  base::set_log_role(title);
  const int status = main();
  std::fflush(nullptr);
  ::_exit(status);
}

std::string describe_end(int wait_status) {
  if (WIFEXITED(wait_status)) return "ended with status " + std::to_string(WEXITSTATUS(wait_status));
  if (!WIFSIGNALED(wait_status)) return "ended";
  const char* name = ::sigabbrev_np(WTERMSIG(wait_status));
  const std::string signal_name =
      name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(WTERMSIG(wait_status));
  return "was killed by " + signal_name;
}

}  // namespace moongate::supervisor
