// SPDX-License-Identifier: Apache-2.0
// A snapshot to look at, compiled as a worker would: what an instance serves, or what files would make.
// `routes` and `explain` work on it in this process, so that looking never holds the instance up.
#pragma once

#include <memory>
#include <string>

#include "cli/arguments.h"
#include "net/event_loop.h"
#include "snapshot/graveyard.h"
#include "snapshot/snapshot.h"
#include "upstream/pool.h"

namespace moongate::cli {

/// The bytes of what an instance serves. This process then has the instance's environment, by which
/// references are resolved.
base::Result<std::string> read_instance_snapshot(const std::string& directory);

class Inspection {
 public:
  /// Of the files in `-c`, or without them of the instance in `-p`. Null when that cannot be; why is printed.
  static std::unique_ptr<Inspection> open(const Arguments& arguments);

  snapshot::Snapshot& snapshot() { return *snapshot_; }
  snapshot::Pin pin() const { return snapshot_; }
  net::EventLoop& loop() { return *loop_; }
  upstream::Pool& pool() { return *pool_; }
  const std::string& lua_root() const { return lua_root_; }

 private:
  Inspection() = default;
  base::Result<void> compile(const std::string& blob);

  std::string lua_root_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<upstream::Pool> pool_;
  snapshot::Graveyard graveyard_{[] {}};  // the process ends before there is anything to clear away
  std::shared_ptr<snapshot::Snapshot> snapshot_;
};

}  // namespace moongate::cli
