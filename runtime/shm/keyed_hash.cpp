// SPDX-License-Identifier: Apache-2.0
#include "shm/keyed_hash.h"

#include <sys/random.h>

#include "base/assert.h"

namespace moongate::shm {

HashSeed make_hash_seed() {
  HashSeed seed;
  // Up to 256 bytes come whole or not at all; the only failure is a kernel without the call.
  MG_ASSERT(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
  return seed;
}

}  // namespace moongate::shm
