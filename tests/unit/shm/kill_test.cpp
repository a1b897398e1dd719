// SPDX-License-Identifier: Apache-2.0
// Processes that die by SIGKILL while they change shared memory.
#include <catch2/catch.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>

#include "shm/shared_dict.h"

using namespace moongate;
using namespace moongate::shm;

namespace {

constexpr int kChildren = 4;
constexpr int kKills = 200;

/// One operation of those that move cells, chosen at random.
void operate(SharedDict& dict, std::mt19937& random) {
  const std::string key = "k" + std::to_string(random() % 300);
  const std::string list = "l" + std::to_string(random() % 8);
  const std::string body(random() % 2000, 'x');
  std::string buffer;
  DictValue value{DictValue::Type::kString, 0, body, 0};
  bool is_forcible = false;
  double number = 0;
  uint32_t length = 0;
  switch (random() % 8) {
    case 0:
      (void)dict.get(key, false, buffer, value);
      break;
    case 1:
      (void)dict.remove(key);
      break;
    case 2:
      (void)dict.push(list, random() % 2 == 0, value, length);
      break;
    case 3:
      (void)dict.pop(list, random() % 2 == 0, buffer, value);
      break;
    case 4:
      (void)dict.increment("n" + key, {1, true, 0, 0}, number, is_forcible);
      break;
    case 5:
      (void)dict.remove(list);
      break;
    default:
      (void)dict.store(DictStore::kSet, key, value, 0, is_forcible);
  }
}

pid_t start_child(SharedDict& dict, std::atomic<uint64_t>* progress, unsigned seed) {
  const pid_t child = fork();
  if (child != 0) return child;
  std::mt19937 random(seed);
  for (;;) {
    operate(dict, random);
    progress->fetch_add(1);
  }
}

void finish(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

}  // namespace

TEST_CASE("a dictionary outlives 200 processes killed in the middle of its work, and loses no memory") {
  constexpr size_t kSize = 256 * 1024;
  Segment segment = Segment::make(kSize + 8192).take();
  SharedDict dict = SharedDict::make(segment, "storm", kSize).take();
  auto* progress = new (segment.area("progress", 64)) std::atomic<uint64_t>(0);
  const size_t free_before = dict.free_bytes();
  std::mt19937 random(4711);
  pid_t children[kChildren];
  unsigned seed = 1;
  for (pid_t& child : children) child = start_child(dict, progress, seed++);
  for (int i = 0; i < kKills; ++i) {
    // The next victim dies after a random number of operations, wherever it is by then.
    const uint64_t until = progress->load() + random() % 200;
    while (progress->load() < until) operate(dict, random);
    pid_t& child = children[i % kChildren];
    finish(child);
    child = start_child(dict, progress, seed++);
  }
  for (pid_t child : children) finish(child);

  std::string buffer;
  DictValue value;
  bool is_forcible = false;
  const DictValue text{DictValue::Type::kString, 0, "still here", 0};
  REQUIRE(dict.store(DictStore::kSet, "after", text, 0, is_forcible) == DictStatus::kDone);
  REQUIRE(dict.get("after", false, buffer, value) == DictStatus::kDone);
  REQUIRE(value.text == "still here");
  INFO("repairs: " << dict.repair_count());
  CHECK(dict.repair_count() > 0);
  dict.flush_all();
  dict.flush_expired(0);
  REQUIRE(dict.free_bytes() == free_before);
}

TEST_CASE("what a dead process had finished storing is still there after the repair") {
  constexpr size_t kSize = 128 * 1024;
  Segment segment = Segment::make(kSize + 8192).take();
  SharedDict dict = SharedDict::make(segment, "kept", kSize).take();
  auto* stored = new (segment.area("progress", 64)) std::atomic<uint64_t>(0);
  uint64_t repairs = 0;
  for (int round = 0; round < 50 && repairs < 5; ++round) {
    const uint64_t begin = stored->load();
    const pid_t child = fork();
    if (child == 0) {
      for (uint64_t i = begin;; ++i) {
        const std::string text(100 + i % 400, static_cast<char>('a' + i % 26));
        bool is_forcible = false;
        (void)dict.store(DictStore::kSet, "k" + std::to_string(i % 40),
                         DictValue{DictValue::Type::kString, static_cast<double>(i), text, 0}, 0,
                         is_forcible);
        stored->store(i + 1);
      }
    }
    while (stored->load() < begin + 200) sched_yield();
    finish(child);
    const uint64_t count = stored->load();
    std::string buffer;
    DictValue value;
    for (uint64_t i = count - 40 + 1; i < count; ++i) {
      // The one after the last counted may have been stored too; all before it must be whole.
      REQUIRE(dict.get("k" + std::to_string(i % 40), false, buffer, value) == DictStatus::kDone);
      REQUIRE(value.text == std::string(100 + i % 400, static_cast<char>('a' + i % 26)));
    }
    repairs = dict.repair_count();
  }
}
