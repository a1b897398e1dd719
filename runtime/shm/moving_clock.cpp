// SPDX-License-Identifier: Apache-2.0
#include "shm/moving_clock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "base/clock.h"

namespace moongate::shm {

using Cell = std::atomic<int64_t>;
static_assert(sizeof(Cell) == 8 && Cell::is_always_lock_free);

base::Result<void> follow_test_clock() {
  const char* path = std::getenv(kTestClockVariable);
  if (path == nullptr || *path == '\0') return {};
  const std::string place = std::string(kTestClockVariable) + ": " + path;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::io_error(place);
  struct stat info {};
  const size_t size = ::fstat(fd, &info) == 0 ? static_cast<size_t>(info.st_size) : 0;
  if (size != sizeof(Cell) && size != 2 * sizeof(Cell)) {
    ::close(fd);
    return base::invalid(place + ": must be a file of 8 or 16 bytes");
  }
  // Never unmapped: the clocks follow it until the process ends.
  const void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) return base::io_error(place);
  const auto* cells = static_cast<const Cell*>(memory);
  base::Clock::follow(cells, size > sizeof(Cell) ? cells + 1 : nullptr);
  base::Clock::refresh();
  return {};
}

base::Result<void> write_test_clock(const std::string& path, int64_t offset_ns) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return base::io_error(path);
  void* memory = MAP_FAILED;
  if (::ftruncate(fd, sizeof(Cell)) == 0)
    memory = ::mmap(nullptr, sizeof(Cell), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  base::Result<void> done;
  if (memory == MAP_FAILED) done = base::io_error(path);
  ::close(fd);
  if (!done) return done;
  static_cast<Cell*>(memory)->store(offset_ns, std::memory_order_relaxed);
  ::munmap(memory, sizeof(Cell));
  return {};
}

}  // namespace moongate::shm
