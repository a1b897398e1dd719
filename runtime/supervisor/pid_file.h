// SPDX-License-Identifier: Apache-2.0
// DIR/moongate.pid: the pid of the instance in DIR, and by a lock on it the proof that it lives. The kernel
// drops the lock with the process, so a file left behind by a crash hinders nobody.
#pragma once

#include <string>

#include "base/result.h"
#include "snapshot/descriptor.h"

namespace moongate::supervisor {

/// Holds the lock as long as it lives. Belongs to the process that took it, not to its children.
class PidFile {
 public:
  /// kConflict when an instance runs in `directory` already; its pid is in the error.
  static base::Result<PidFile> lock(const std::string& directory);
  /// Removes the file; the lock goes when this does.
  void remove();
  /// In a child after fork(): lets go without touching file or lock.
  void forget() { file_.reset(); }

 private:
  snapshot::Descriptor file_;
  std::string path_;
};

/// The pid of the instance that runs in `directory`; 0 when none does.
int running_pid(const std::string& directory);

}  // namespace moongate::supervisor
