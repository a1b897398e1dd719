// SPDX-License-Identifier: Apache-2.0
#include "shm/keyed_hash.h"

#include "base/assert.h"
#include "base/random.h"

namespace moongate::shm {

HashSeed make_hash_seed() {
  HashSeed seed;
  MG_ASSERT(base::fill_random(reinterpret_cast<char*>(&seed), sizeof seed));
  return seed;
}

}  // namespace moongate::shm
