// SPDX-License-Identifier: Apache-2.0
#include "supervisor/child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "supervisor/listeners.h"
#include "supervisor/pid_file.h"

using namespace moongate::supervisor;

namespace {

std::string end_of(const std::function<int()>& main) {
  const auto pid = fork_child("test", main);
  REQUIRE(pid.ok());
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  return describe_end(status);
}

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-sup-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

}  // namespace

TEST_CASE("how a child ended is told by status or signal") {
  REQUIRE(end_of([] { return 3; }) == "ended with status 3");
  REQUIRE(end_of([] { return ::raise(SIGKILL); }) == "was killed by SIGKILL");
}

TEST_CASE("a child ignores SIGINT and obeys SIGTERM whatever its parent does") {
  REQUIRE(end_of([] {
            ::raise(SIGINT);
            return 7;
          }) == "ended with status 7");
  REQUIRE(end_of([] { return ::raise(SIGTERM); }) == "was killed by SIGTERM");
}

TEST_CASE("a second instance in the same folder is refused with the pid of the first") {
  Folder folder;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto child = fork_child("test", [&] {
    const auto file = PidFile::lock(folder.path);
    const char byte = file.ok() ? '+' : '-';
    if (::write(ends[1], &byte, 1) != 1) return 1;
    ::pause();
    return 0;
  });
  char byte = 0;
  REQUIRE(::read(ends[0], &byte, 1) == 1);
  REQUIRE(byte == '+');
  const auto second = PidFile::lock(folder.path);
  REQUIRE(second.error().kind == moongate::base::ErrorKind::kConflict);
  REQUIRE(second.error().detail.find("pid " + std::to_string(*child)) != std::string::npos);
  REQUIRE(running_pid(folder.path) == *child);
  // The lock goes with the process, even when it had no time to clean up.
  REQUIRE(::kill(*child, SIGKILL) == 0);
  REQUIRE(::waitpid(*child, nullptr, 0) == *child);
  REQUIRE(running_pid(folder.path) == 0);
  REQUIRE(PidFile::lock(folder.path).ok());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("every worker gets its own socket for a TCP address, and port 0 is one port for all") {
  auto listeners = Listeners::open({{"127.0.0.1:0"}}, 3).take();
  const std::vector<std::string> addresses = listeners.addresses();
  REQUIRE(addresses.size() == 1);
  REQUIRE(addresses[0] != "127.0.0.1:0");
  const auto first = listeners.take(0);
  const auto second = listeners.take(2);
  REQUIRE(first[0].fd != second[0].fd);
  REQUIRE(first[0].settings.address == addresses[0]);
  // Somebody else may not share it.
  REQUIRE_FALSE(Listeners::open({{addresses[0]}}, 1).ok());
  ::close(first[0].fd);
  ::close(second[0].fd);
}

TEST_CASE("a unix socket is one for all, and its file goes at the end") {
  Folder folder;
  const std::string path = folder.path + "/proxy.sock";
  auto listeners = Listeners::open({{"unix:" + path}}, 2).take();
  REQUIRE(std::filesystem::exists(path));
  // A file that nobody listens on any more is in nobody's way.
  listeners.close();
  auto again = Listeners::open({{"unix:" + path}}, 2);
  REQUIRE(again.ok());
  again->remove_files();
  REQUIRE_FALSE(std::filesystem::exists(path));
}
