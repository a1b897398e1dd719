// SPDX-License-Identifier: Apache-2.0
// A lock between processes that survives the death of its owner: the kernel hands it to the next one together
// with the news, and that one repairs what the lock guards before going on. It is for structures that a
// single compare-and-swap cannot change (shared_dict.h); counters and limits take no lock.
#pragma once

#include <pthread.h>

namespace moongate::shm {

class RobustMutex {
 public:
  enum class State { kClean, kOwnerDied };

  /// Prepares the lock. Once, before the fork; the memory must be shared.
  void initialize();
  /// Waits for the lock. After kOwnerDied the caller repairs, then calls `mark_repaired` before `unlock`;
  /// should it die before that, the next owner hears kOwnerDied again.
  [[nodiscard]] State lock();
  void mark_repaired();
  void unlock();

 private:
  pthread_mutex_t mutex_;
};

}  // namespace moongate::shm
