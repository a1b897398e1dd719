// SPDX-License-Identifier: Apache-2.0
#include "snapshot/store.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "snapshot/blob.h"

using namespace moongate::snapshot;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-store-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

std::string make_blob(uint64_t number, std::string_view body, std::string reason = "reload") {
  BlobWriter writer;
  writer.add(Record{RecordKind::kSettings, 0, 0, "", "", body, 0});
  return writer.finish({number, number * 1000, std::move(reason)}).take();
}

void spoil(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(70);
  file.put('!');
}

}  // namespace

TEST_CASE("what was saved is there after the store is opened again") {
  Folder folder;
  Store first = Store::open(folder.path).take();
  REQUIRE(first.current() == 0);
  REQUIRE(first.load_current().error().kind == moongate::base::ErrorKind::kNotFound);
  REQUIRE(first.save(make_blob(1, "a", "start")).ok());
  REQUIRE(first.save(make_blob(2, "b", "file change")).ok());

  const Store second = Store::open(folder.path).take();
  REQUIRE(second.current() == 2);
  REQUIRE(second.last_number() == 2);
  REQUIRE(second.list().size() == 2);
  REQUIRE(second.list()[0].reason == "start");
  REQUIRE(second.list()[1].made_at_ms == 2000);
  REQUIRE(*second.load(1) == make_blob(1, "a", "start"));
  REQUIRE(*second.load_current() == make_blob(2, "b", "file change"));
  REQUIRE(second.load(3).error().kind == moongate::base::ErrorKind::kNotFound);
}

TEST_CASE("only the last 16 are kept") {
  Folder folder;
  Store store = Store::open(folder.path).take();
  for (uint64_t i = 1; i <= 20; i++) REQUIRE(store.save(make_blob(i, std::to_string(i))).ok());
  REQUIRE(store.list().size() == Store::kKept);
  REQUIRE(store.list().front().number == 5);
  REQUIRE_FALSE(store.load(4).ok());
  REQUIRE(store.load(5).ok());
  REQUIRE(Store::open(folder.path)->list().size() == Store::kKept);
}

TEST_CASE("a damaged file is skipped, and the newest whole one serves in its place") {
  Folder folder;
  Store store = Store::open(folder.path).take();
  REQUIRE(store.save(make_blob(1, "a")).ok());
  REQUIRE(store.save(make_blob(2, "b")).ok());
  spoil(folder.path + "/snapshots/00000002.snap");
  const Store again = Store::open(folder.path).take();
  REQUIRE(again.list().size() == 1);
  REQUIRE(again.load(2).error().kind == moongate::base::ErrorKind::kInvalid);
  REQUIRE(*again.load_current() == make_blob(1, "a"));
  // Its number is not given out again.
  REQUIRE(again.last_number() == 2);
}

TEST_CASE("the snapshot before is the newest with other content") {
  Folder folder;
  Store store = Store::open(folder.path).take();
  REQUIRE(store.find_previous() == nullptr);
  REQUIRE(store.save(make_blob(1, "a")).ok());
  REQUIRE(store.find_previous() == nullptr);
  REQUIRE(store.save(make_blob(2, "b")).ok());
  REQUIRE(store.save(make_blob(3, "b")).ok());
  REQUIRE(store.find_previous()->number == 1);
}

TEST_CASE("what is no blob is not saved") {
  Folder folder;
  Store store = Store::open(folder.path).take();
  REQUIRE_FALSE(store.save("nonsense").ok());
  REQUIRE(store.list().empty());
  REQUIRE(store.current() == 0);
}
