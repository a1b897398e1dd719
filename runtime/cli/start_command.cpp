// SPDX-License-Identifier: Apache-2.0
// moongate start: checks the configuration, then becomes the supervisor.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "cli/command.h"
#include "cli/first_snapshot.h"
#include "cli/lua_root.h"
#include "cli/lua_validator.h"
#include "shm/moving_clock.h"
#include "supervisor/pid_file.h"
#include "supervisor/single_process.h"
#include "supervisor/supervisor.h"
#include "tls/ticket_keys.h"

namespace moongate::cli {

using base::Result;

namespace {

constexpr OptionSpec kOptions[] = {kConfigOption, kDirectoryOption, {"--daemon", "", ""}};

uint32_t count_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

uint32_t count_workers(const config::Settings& settings) {
  const uint32_t wanted = settings.workers.value_or(count_cores());
  if (wanted <= shm::kWorkersMax) return wanted;
  std::fprintf(stderr, "warning: moongate.workers: %u are more than the %u there can be\n", wanted,
               shm::kWorkersMax);
  return shm::kWorkersMax;
}

Result<void> make_directory(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (!error) return {};
  return base::Error{base::ErrorKind::kIo, base::Side::kSelf, false, directory + ": " + error.message()};
}

Result<void> open_error_log(const config::Settings& settings, const std::string& directory, bool is_daemon) {
  std::string path = settings.error_log.path;
  if (path.empty() && is_daemon) path = "error.log";
  if (!path.empty() && path.front() != '/') path = directory + "/" + path;
  return base::open_log(path, settings.error_log.level);
}

/// Forks into the background. In the parent: waits until the instance serves, and gives the exit status. In
/// the child: gives -1, and the descriptor that tells the parent.
int go_to_background(int* ready_fd) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    print_error(base::io_error("pipe").detail);
    return kFailed;
  }
  const int pid = ::fork();
  if (pid < 0) {
    print_error(base::io_error("fork").detail);
    return kFailed;
  }
  if (pid == 0) {
    ::close(ends[0]);
    ::setsid();
    *ready_fd = ends[1];
    return -1;
  }
  ::close(ends[1]);
  char byte = 0;
  ssize_t size = 0;
  while ((size = ::read(ends[0], &byte, 1)) < 0 && errno == EINTR) continue;
  ::close(ends[0]);
  return size == 1 ? kDone : kFailed;  // it said why on our stderr
}

/// Lets go of the terminal; what libraries write to stderr goes to the error log's file.
void detach_output(const std::string& directory) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int output =
      ::open((directory + "/output.log").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (null >= 0) ::dup2(null, 0);
  if (output >= 0) {
    ::dup2(output, 1);
    ::dup2(output, 2);
    ::close(output);
  }
  if (null > 2) ::close(null);
}

struct Prepared {
  FirstSnapshot snapshot;
  control::ControlStart control;
  uint32_t worker_count = 1;
};

Result<Prepared> prepare(const Invocation& invocation, const std::string& directory) {
  const Result<std::string> lua_root = find_lua_root();
  if (!lua_root) return lua_root.error();
  Prepared prepared;
  prepared.control.config_paths = invocation.arguments.values("--config");
  for (std::string& path : prepared.control.config_paths)
    path = std::filesystem::absolute(path).lexically_normal().string();
  Result<FirstSnapshot> first = make_first_snapshot(prepared.control.config_paths, directory, *lua_root);
  if (!first) return first.error();
  prepared.snapshot = first.take();
  prepared.worker_count = count_workers(prepared.snapshot.settings);
  prepared.control.version = invocation.version;
  prepared.control.directory = directory;
  prepared.control.lua_root = *lua_root;
  prepared.control.make_validator = lua_validator_factory(*lua_root);
  prepared.control.start_error = prepared.snapshot.error;
  prepared.control.load_notes = std::move(prepared.snapshot.load_notes);
  prepared.control.worker_count = prepared.worker_count;
  base::Clock::refresh();
  prepared.control.started_at = base::Clock::wall();
  return prepared;
}

int run_single(Prepared prepared, int ready_fd) {
  if (ready_fd >= 0) detach_output(prepared.control.directory);
  return supervisor::run_single_process({std::move(prepared.snapshot.settings), std::move(prepared.control),
                                         std::move(prepared.snapshot.memfd), ready_fd});
}

int run_supervisor(Prepared prepared, supervisor::PidFile* pid_file, int ready_fd) {
  const std::string directory = prepared.control.directory;
  supervisor::SupervisorOptions options;
  options.worker_count = prepared.worker_count;
  options.watchdog_limit = std::chrono::milliseconds(prepared.snapshot.settings.script.watchdog_ms);
  options.settings = std::move(prepared.snapshot.settings);
  options.control = std::move(prepared.control);
  options.first_snapshot = std::move(prepared.snapshot.memfd);
  options.ready_fd = ready_fd;
  options.on_fork = [pid_file] { pid_file->forget(); };
  options.worker_main = worker::run;
  options.control_main = [](const control::ControlStart& start) { return control::run(start); };
  Result<std::unique_ptr<supervisor::Supervisor>> supervisor =
      supervisor::Supervisor::make(std::move(options));
  if (!supervisor) {
    print_error(supervisor.error().detail);
    return kFailed;
  }
  if (ready_fd >= 0) detach_output(directory);
  return (*supervisor)->run();
}

// A directory that cannot be written costs sessions at the next start, a shared file that cannot be used is a
// mistake.
Result<void> start_ticket_keys(const config::Settings& settings, const std::string& directory) {
  tls::TicketKeys& keys = tls::TicketKeys::of_process();
  if (!settings.tls.ticket_key_file.empty())
    return keys.start_shared(settings.tls.ticket_key_file, base::Clock::wall());
  if (auto kept = keys.start_kept(directory + "/ticket.key", base::Clock::wall()); !kept)
    MG_LOG(kError) << "the ticket keys are not kept for the next start: " << kept.error().detail;
  return {};
}

int start(const Invocation& invocation) {
  base::set_log_role("start");
  if (auto followed = shm::follow_test_clock(); !followed) {
    print_error(followed.error().detail);
    return kFailed;
  }
  const std::string directory = directory_of(invocation.arguments);
  const bool is_daemon = invocation.arguments.has("--daemon");
  if (auto made = make_directory(directory); !made) {
    print_error(made.error().detail);
    return kFailed;
  }
  int ready_fd = -1;
  if (is_daemon) {
    const int status = go_to_background(&ready_fd);
    if (status >= 0) return status;
  }
  Result<supervisor::PidFile> pid_file = supervisor::PidFile::lock(directory);
  if (!pid_file) {
    print_error(pid_file.error().detail);
    return kFailed;
  }
  Result<Prepared> prepared = prepare(invocation, directory);
  if (!prepared) {
    pid_file->remove();
    print_error("not started: " + prepared.error().detail);
    return kFailed;
  }
  if (auto opened = open_error_log(prepared->snapshot.settings, directory, is_daemon); !opened) {
    pid_file->remove();
    print_error(opened.error().detail);
    return kFailed;
  }
  if (!prepared->snapshot.error.empty()) {
    print_error("the configuration is broken; THE LAST GOOD SNAPSHOT SERVES until it is mended");
    MG_LOG(kCrit) << "the configuration is broken and the last good snapshot serves until it is mended: "
                  << prepared->snapshot.error;
  }
  if (auto started = start_ticket_keys(prepared->snapshot.settings, directory); !started) {
    pid_file->remove();
    print_error("moongate.tls.ticket_key_file: " + started.error().detail);
    return kFailed;
  }
  const int status = prepared->worker_count == 0 ? run_single(prepared.take(), ready_fd)
                                                 : run_supervisor(prepared.take(), &*pid_file, ready_fd);
  pid_file->remove();
  return status;
}

}  // namespace

const Command kStartCommand{"start",
                            "",
                            0,
                            "Starts the gateway with these files, in the foreground unless --daemon; DIR "
                            "holds pid, sockets, snapshots, logs.",
                            kOptions,
                            start};

}  // namespace moongate::cli
