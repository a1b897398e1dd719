// SPDX-License-Identifier: Apache-2.0
#include "supervisor/single_process.h"

#include <unistd.h>

#include <csignal>

#include "base/log.h"
#include "supervisor/supervisor.h"

namespace moongate::supervisor {

using base::Result;

namespace {

/// Control and worker on one loop, in the order in which they must end: the worker first.
struct Single {
  Instance instance;
  std::unique_ptr<net::EventLoop> loop;
  net::SignalWatch interrupt;
  std::shared_ptr<void> control;
  std::shared_ptr<void> worker;
};

Result<std::unique_ptr<Single>> open_single(SingleOptions* options) {
  Result<Instance> instance = open_instance(options->settings, 1, &options->control);
  if (!instance) return instance.error();
  auto single = std::make_unique<Single>();
  single->instance = instance.take();
  Result<std::unique_ptr<net::EventLoop>> loop = net::EventLoop::make();
  if (!loop) return loop.error();
  single->loop = loop.take();
  ::signal(SIGPIPE, SIG_IGN);
  single->interrupt.start(
      *single->loop, SIGINT, [](void*, int) { ::raise(SIGTERM); }, nullptr);
  Result<snapshot::ChannelPair> pair = snapshot::make_channel();
  if (!pair) return pair.error();
  control::ControlStart& start = options->control;
  start.first_snapshot_fd = options->first_snapshot.release();
  start.command_fd = single->instance.command_socket.release();
  start.metrics_fd = single->instance.metrics_socket.release();
  start.admin_fd = single->instance.admin_socket.release();
  start.control_api_fd = single->instance.control_api_socket.release();
  start.worker_fd = pair->first.release();
  start.ready_fd = options->ready_fd;
  Result<std::shared_ptr<void>> worker =
      worker::start_on(*single->loop, make_worker_start(single->instance, start, 0, pair->second.release()));
  if (!worker) return worker.error();
  single->worker = worker.take();
  Result<std::shared_ptr<void>> control = control::start_on(*single->loop, start);
  if (!control) return control.error();
  single->control = control.take();
  return single;
}

}  // namespace

int run_single_process(SingleOptions options) {
  base::set_log_role("single");
  Result<std::unique_ptr<Single>> single = open_single(&options);
  if (!single) {
    MG_LOG(kEmerg) << single.error().detail;
    return 1;
  }
  (*single)->loop->run();
  remove_socket_files((*single)->instance, options.control);
  (*single)->worker.reset();
  (*single)->control.reset();
  return 0;
}

}  // namespace moongate::supervisor
