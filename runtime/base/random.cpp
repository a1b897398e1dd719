// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <pthread.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace moongate::base {
namespace {

constexpr size_t kFetchedAhead = 4096;
constexpr size_t kCutMax = 256;

struct Stock {
  std::array<char, kFetchedAhead> bytes;
  size_t used = kFetchedAhead;
};

thread_local Stock stock;

// What a fork copies would be cut twice.
const int is_watching_forks = pthread_atfork(nullptr, nullptr, [] { stock.used = kFetchedAhead; });

}  // namespace

bool fill_random(char* out, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::getrandom(out + filled, size - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    filled += static_cast<size_t>(got);
  }
  return true;
}

bool cut_random(char* out, size_t size) {
  MG_ASSERT(size <= kCutMax && is_watching_forks == 0);
  if (stock.used + size > kFetchedAhead) {
    if (!fill_random(stock.bytes.data(), kFetchedAhead)) return false;
    stock.used = 0;
  }
  std::memcpy(out, stock.bytes.data() + stock.used, size);
  std::memset(stock.bytes.data() + stock.used, 0, size);  // no id can be read from memory again
  stock.used += size;
  return true;
}

}  // namespace moongate::base
