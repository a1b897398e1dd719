// SPDX-License-Identifier: Apache-2.0
// What an instance holds before any process is forked.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/supervisor.h"

namespace moongate::supervisor {

using base::Result;

namespace {

constexpr std::string_view kUnixMark = "unix:";

std::string command_path(const control::ControlStart& control) { return control.directory + "/control.sock"; }

/// Nothing for an empty address.
Result<snapshot::Descriptor> open_where_wanted(std::string* address) {
  if (address->empty()) return snapshot::Descriptor();
  return open_page_socket(address);
}

}  // namespace

Result<Instance> open_instance(const config::Settings& settings, uint32_t worker_count,
                               control::ControlStart* control) {
  // The listeners come last: who reaches the gateway can also ask it for its status.
  Result<SharedMemory> memory = make_shared_memory(settings);
  if (!memory) return memory.error();
  // Whoever may connect may stop the gateway, so the socket must never exist with other rights than its
  // owner's.
  std::string address = std::string(kUnixMark) + command_path(*control);
  const mode_t former = ::umask(0177);
  Result<snapshot::Descriptor> command = open_page_socket(&address);
  ::umask(former);
  if (!command) return command.error();
  control->metrics_address = settings.metrics.listen;
  Result<snapshot::Descriptor> metrics = open_where_wanted(&control->metrics_address);
  if (!metrics) return metrics.error();
  control->admin_address = settings.admin.listen;
  Result<snapshot::Descriptor> admin = open_where_wanted(&control->admin_address);
  if (!admin) return admin.error();
  control->control_api_address = settings.control.listen;
  Result<snapshot::Descriptor> control_api = open_where_wanted(&control->control_api_address);
  if (!control_api) return control_api.error();
  Result<Listeners> listeners = Listeners::open(settings.listen, worker_count);
  if (!listeners) return listeners.error();
  control->addresses = listeners->addresses();
  control->processes = memory->processes;
  control->metrics = memory->metrics.get();
  control->health = memory->health;
  return Instance{listeners.take(), memory.take(), command.take(),
                  metrics.take(),   admin.take(),  control_api.take()};
}

worker::WorkerStart make_worker_start(Instance& instance, const control::ControlStart& control,
                                      uint32_t index, int control_fd) {
  worker::WorkerStart start;
  start.index = static_cast<int>(index);
  start.count = static_cast<int>(std::max<uint32_t>(control.worker_count, 1));
  start.listeners = instance.listeners.take(index);
  start.control_fd = control_fd;
  start.processes = instance.memory.processes;
  start.limits = instance.memory.limits.get();
  start.dicts = instance.memory.dicts.get();
  start.metrics = instance.memory.metrics.get();
  start.health = instance.memory.health;
  start.directory = control.directory;
  start.lua_root = control.lua_root;
  start.version = control.version;
  return start;
}

void remove_socket_files(const Instance& instance, const control::ControlStart& control) {
  instance.listeners.remove_files();
  ::unlink(command_path(control).c_str());
  for (const std::string* address :
       {&control.metrics_address, &control.admin_address, &control.control_api_address}) {
    if (address->rfind(kUnixMark, 0) == 0) ::unlink(address->c_str() + kUnixMark.size());
  }
}

}  // namespace moongate::supervisor
