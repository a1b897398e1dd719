// SPDX-License-Identifier: Apache-2.0
// Where snapshots go when their last exchange has ended. Taking apart 10,000 routes takes milliseconds, and
// the last pin is let go in the middle of a turn of the loop: so they are laid down here whole and taken
// apart in slices.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "snapshot/snapshot.h"

namespace moongate::snapshot {

/// Frees snapshots bit by bit.
///
/// Owner:   the worker; must outlive every pin of a snapshot made by `make`.
/// Runs in: the worker's loop.
class Graveyard {
 public:
  /// `on_work` is called when there is something to do: arrange for step() to be called.
  explicit Graveyard(std::function<void()> on_work) : on_work_(std::move(on_work)) {}

  /// A snapshot that comes here with its last pin.
  std::shared_ptr<Snapshot> make(std::shared_ptr<Surroundings> shared = std::make_shared<Surroundings>());
  /// Frees for about `budget`; true when nothing is left.
  bool step(base::Duration budget);

 private:
  void bury(Snapshot* snapshot);
  static bool take_apart(Snapshot& snapshot);
  static bool take_apart(Surroundings& around);

  std::function<void()> on_work_;
  std::deque<std::unique_ptr<Snapshot>> dead_;
};

}  // namespace moongate::snapshot
