// SPDX-License-Identifier: Apache-2.0
// folder: limit
// What a limiter's decision costs: at a thousand, a million and ten million keys, for keys seen before and
// for new ones, with one process and with two at once.
//
//   limiter_bench [KEYS_MAX]       one line for each measurement; KEYS_MAX bounds the largest set of keys
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "limit/tables.h"
#include "shm/segment.h"

namespace {

using moongate::base::SteadyTime;
using moongate::limit::Outcome;
using moongate::limit::Rate;
using moongate::limit::RateTable;
using moongate::limit::Verdict;
using moongate::limit::Window;
using moongate::limit::WindowTable;

constexpr int kRounds = 2000000;
constexpr double kSlotsPerKey = 1.5;

/// "client-" and the number as 16 hexadecimal digits: as long as an address.
class Key {
 public:
  std::string_view make(uint64_t number) {
    for (int i = 0; i < 16; ++i) text_[7 + i] = "0123456789abcdef"[(number >> (4 * (15 - i))) & 15];
    return {text_, 23};
  }

 private:
  char text_[24] = "client-";
};

uint64_t next_random(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/// CPU seconds of this process: what a decision costs does not depend on who else uses the machine.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// Calls `decide(key)` for random keys and gives nanoseconds a call, the making of the key not counted.
template <class Decide>
double measure_random(uint64_t keys, uint64_t seed, Decide decide) {
  Key key;
  uint64_t random = seed;
  uint64_t sink = 0;
  double start = cpu_seconds();
  for (int i = 0; i < kRounds; ++i)
    sink += static_cast<unsigned char>(key.make(next_random(random) % keys)[22]);
  double overhead = cpu_seconds() - start;
  if (sink == 0) std::puts("");
  random = seed;
  start = cpu_seconds();
  for (int i = 0; i < kRounds; ++i) decide(key.make(next_random(random) % keys));
  return (cpu_seconds() - start - overhead) / kRounds * 1e9;
}

/// What one access to memory costs here when its address depends on the one before: the floor for a decision
/// whose key is not in a cache, which is one such access. Virtual machines with small pages are slow at this.
double measure_access(char* memory, size_t size) {
  uint64_t random = 4711;
  double start = cpu_seconds();
  for (int i = 0; i < kRounds; ++i) {
    uint64_t at = next_random(random) % (size / 64) * 64;
    random += static_cast<unsigned char>(*static_cast<volatile char*>(memory + at)) & 1;
  }
  return (cpu_seconds() - start) / kRounds * 1e9;
}

/// Both processes decide at once over the same keys; the dearer one's time.
template <class Measure>
double measure_two(Measure measure) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) return -1;
  pid_t child = fork();
  double cost = measure(child == 0 ? 77777u : 99999u);
  if (child == 0) {
    bool is_sent = write(pipe_fds[1], &cost, sizeof cost) == static_cast<ssize_t>(sizeof cost);
    _exit(is_sent ? 0 : 1);
  }
  double other = 0;
  if (read(pipe_fds[0], &other, sizeof other) != static_cast<ssize_t>(sizeof other)) other = -1;
  waitpid(child, nullptr, 0);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  return std::max(cost, other);
}

template <class Decide>
void report(const char* name, uint64_t keys, Decide decide) {
  Key key;
  double start = cpu_seconds();
  uint64_t full = 0;
  for (uint64_t i = 0; i < keys; ++i) full += decide(key.make(i)) == Outcome::kTableFull;
  double fresh = (cpu_seconds() - start) / static_cast<double>(keys) * 1e9;
  double seen = measure_random(keys, 12345, decide);
  double two = measure_two([&](uint64_t seed) { return measure_random(keys, seed, decide); });
  std::printf(
      "%-7s %9llu keys: %6.1f ns a decision, %6.1f ns with two processes, %6.1f ns for a new key, %llu "
      "refused a slot\n",
      name, static_cast<unsigned long long>(keys), seen, two, fresh, static_cast<unsigned long long>(full));
  std::fflush(stdout);
}

bool run(uint64_t keys) {
  const size_t size =
      static_cast<size_t>(static_cast<double>(keys) * kSlotsPerKey * sizeof(moongate::limit::Slot)) + 65536;
  auto segment = moongate::shm::Segment::make(2 * size + 4096);
  if (!segment) {
    std::fprintf(stderr, "%s\n", segment.error().detail.c_str());
    return false;
  }
  const SteadyTime now = moongate::base::Clock::steady_now();
  void* rate_memory = segment->area("rate", size);
  RateTable rates(rate_memory, size);
  WindowTable windows(segment->area("window", size), size, now);
  // A large bucket: every decision admits and so writes, and no key ever expires.
  report("rate", keys, [&](std::string_view key) {
    Verdict verdict;
    return rates.take(key, Rate{0.001, 1e6}, 1, now, verdict);
  });
  std::printf("        one access to memory of this size: %.1f ns\n",
              measure_access(static_cast<char*>(rate_memory), size));
  report("window", keys, [&](std::string_view key) {
    Verdict verdict;
    return windows.take(key, Window{1e9, 3600}, 1, now, verdict);
  });
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t keys_max = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10000000;
  std::printf("%zu bytes a slot, %.1f slots a key here\n", sizeof(moongate::limit::Slot), kSlotsPerKey);
  for (uint64_t keys : {uint64_t{1000}, uint64_t{1000000}, uint64_t{10000000}}) {
    if (keys <= keys_max && !run(keys)) return 1;
  }
  return 0;
}
