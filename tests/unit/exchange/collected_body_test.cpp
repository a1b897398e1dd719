// SPDX-License-Identifier: Apache-2.0
#include "exchange/collected_body.h"

#include <stdlib.h>
#include <sys/resource.h>

#include <csignal>

#include <catch2/catch.hpp>

using namespace moongate;
using exchange::BodyFiles;
using exchange::CollectedBody;

namespace {

struct Folder {
  char path[32] = "/tmp/moongate-body-XXXXXX";
  Folder() { REQUIRE(::mkdtemp(path)); }
  ~Folder() { static_cast<void>(::rmdir(path)); }  // which works only when nothing was left in it
};

std::string content_of(const CollectedBody& body) {
  std::string all;
  char buffer[700];
  while (all.size() < body.size()) {
    auto piece = body.read(all.size(), buffer, sizeof buffer);
    REQUIRE(piece);
    all += *piece;
  }
  return all;
}

}  // namespace

TEST_CASE("a body moves to a file once it is longer than may stay in memory") {
  Folder folder;
  BodyFiles files{folder.path, 1000};
  CollectedBody body;
  REQUIRE(body.append(std::string(1000, 'a'), files));
  CHECK_FALSE(body.is_in_file());
  CHECK(body.view() == std::string(1000, 'a'));
  REQUIRE(body.append("b", files));
  REQUIRE(body.append(std::string(5000, 'c'), files));
  CHECK(body.is_in_file());
  CHECK(body.size() == 6001);
  CHECK(files.disk_bytes == 6001);
  CHECK(content_of(body) == std::string(1000, 'a') + "b" + std::string(5000, 'c'));
  char byte;
  CHECK_FALSE(body.read(6001, &byte, 1));
  body.clear();
  CHECK(files.disk_bytes == 0);
  CHECK(::rmdir(folder.path) == 0);
}

TEST_CASE("what replaces a body stays in memory, also when it is part of the former one") {
  Folder folder;
  BodyFiles files{folder.path, 10};
  CollectedBody body;
  REQUIRE(body.append("0123456789", files));
  body.replace(body.view().substr(3, 4));
  CHECK(body.view() == "3456");
  REQUIRE(body.append("more than ten", files));
  CHECK(body.is_in_file());
  body.replace("a text that is longer than ten");
  CHECK_FALSE(body.is_in_file());
  CHECK(body.size() == 30);
  CHECK(files.disk_bytes == 0);
}

TEST_CASE("bodies share what the disk may take, and give it back") {
  Folder folder;
  BodyFiles files{folder.path, 10, 100};
  CollectedBody first;
  {
    CollectedBody second;
    REQUIRE(first.append(std::string(60, 'a'), files));
    REQUIRE(second.append(std::string(40, 'b'), files));
    auto over = second.append("c", files);
    REQUIRE_FALSE(over);
    CHECK(over.error().kind == base::ErrorKind::kLimit);
    CHECK_THAT(over.error().detail, Catch::Contains("client.body_disk_max_mb"));
  }
  CHECK(files.disk_bytes == 60);
  CHECK(first.append(std::string(40, 'd'), files));
}

TEST_CASE("a full disk and a folder that is gone are told apart") {
  Folder folder;
  BodyFiles files{folder.path, 10};
  CollectedBody body;
  struct rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small {
    1000, before.rlim_max
  };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  auto full = body.append(std::string(2000, 'a'), files);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  REQUIRE_FALSE(full);
  CHECK(full.error().kind == base::ErrorKind::kLimit);
  CHECK_THAT(full.error().detail, Catch::Contains("is full"));

  BodyFiles nowhere{std::string(folder.path) + "/gone", 10};
  CollectedBody other;
  auto lost = other.append(std::string(2000, 'a'), nowhere);
  REQUIRE_FALSE(lost);
  CHECK(lost.error().kind == base::ErrorKind::kIo);
}
