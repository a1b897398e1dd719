// SPDX-License-Identifier: Apache-2.0
#include "shm/robust_mutex.h"

#include <cerrno>

#include "base/assert.h"

namespace moongate::shm {

void RobustMutex::initialize() {
  pthread_mutexattr_t attributes;
  MG_ASSERT(pthread_mutexattr_init(&attributes) == 0);
  MG_ASSERT(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  MG_ASSERT(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  MG_ASSERT(pthread_mutex_init(&mutex_, &attributes) == 0);
  pthread_mutexattr_destroy(&attributes);
}

RobustMutex::State RobustMutex::lock() {
  int code = pthread_mutex_lock(&mutex_);
  if (code == EOWNERDEAD) return State::kOwnerDied;
  MG_ASSERT(code == 0);
  return State::kClean;
}

void RobustMutex::mark_repaired() { MG_ASSERT(pthread_mutex_consistent(&mutex_) == 0); }

void RobustMutex::unlock() { MG_ASSERT(pthread_mutex_unlock(&mutex_) == 0); }

}  // namespace moongate::shm
