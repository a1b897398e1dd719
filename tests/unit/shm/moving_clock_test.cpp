// SPDX-License-Identifier: Apache-2.0
#include "shm/moving_clock.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/clock.h"

namespace moongate::shm {
namespace {

struct ClockFile {
  ClockFile() {
    char name[] = "/tmp/moongate-clock-XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(fd >= 0);
    ::close(fd);
    path = name;
    ::setenv(kTestClockVariable, name, 1);
  }
  ~ClockFile() {
    ::unsetenv(kTestClockVariable);
    ::unlink(path.c_str());
    base::Clock::follow(nullptr);
    base::Clock::refresh();
  }
  std::string path;
};

using std::chrono::hours;

TEST_CASE("clocks follow the file as it changes") {
  ClockFile file;
  const auto wall = base::Clock::wall();
  REQUIRE(write_test_clock(file.path, 0).ok());
  REQUIRE(follow_test_clock().ok());
  CHECK(base::Clock::steady_now() - std::chrono::steady_clock::now() < hours(1));
  REQUIRE(write_test_clock(file.path, base::Duration(hours(5)).count()).ok());
  CHECK(base::Clock::wall() - wall < hours(1));  // until the next turn
  base::Clock::refresh();
  CHECK(base::Clock::wall() - wall >= hours(5));
  CHECK(base::Clock::steady() - std::chrono::steady_clock::now() > hours(4));
  CHECK(base::Clock::steady_now() >= base::Clock::steady());
  CHECK(base::Clock::offset() == hours(5));
}

TEST_CASE("clocks stay where they are without the variable") {
  ::unsetenv(kTestClockVariable);
  REQUIRE(follow_test_clock().ok());
  CHECK(base::Clock::offset() == base::Duration(0));
}

TEST_CASE("a clock file of another size, or none, is refused by name") {
  ClockFile file;
  std::ofstream(file.path) << "abc";
  auto followed = follow_test_clock();
  REQUIRE(!followed.ok());
  CHECK(followed.error().detail.find(file.path) != std::string::npos);
  ::unlink(file.path.c_str());
  CHECK(!follow_test_clock().ok());
}

}  // namespace
}  // namespace moongate::shm
