// SPDX-License-Identifier: Apache-2.0
#include "control/resource_store.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fixtures.h"

using namespace moongate;
using namespace moongate::control;
using config::Kind;
using test::Folder;

namespace {

StoredChange put(const std::string& id, const std::string& json, uint64_t revision) {
  return {{Kind::kRoute, id}, StoredResource{json, revision, revision, 0}};
}

StoredChange gone(const std::string& id) { return {{Kind::kRoute, id}, std::nullopt}; }

ResourceStore open(const Folder& folder) {
  auto store = ResourceStore::open(folder.path);
  REQUIRE(store.ok());
  return store.take();
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("what was appended is there when the store is opened again") {
  const Folder folder;
  {
    ResourceStore store = open(folder);
    REQUIRE(store.append({put("1", "{\"uri\":\"/a\"}", 1), put("2", "{}", 2)}, 2, 7).ok());
    REQUIRE(store.append({gone("2")}, 3, 8).ok());
    StoredChange expiring = put("3", "{\"desc\":\"\\u0001 \\\"\"}", 4);
    expiring.value->expires_at_ms = 1'900'000'000'123;
    expiring.key.first = Kind::kCredential;
    REQUIRE(store.append({expiring}, 4, 9).ok());
    StoredChange wrong = put("4", "", 5);
    wrong.value->fault = "the value in etcd is no JSON object";
    wrong.value->stand_in = "{\"uri\":\"/closed\"}";
    REQUIRE(store.append({wrong}, 5, 9).ok());
  }
  const ResourceStore store = open(folder);
  CHECK(store.all().size() == 3);
  CHECK(store.find({Kind::kRoute, "4"})->fault == "the value in etcd is no JSON object");
  CHECK(store.find({Kind::kRoute, "4"})->stand_in == "{\"uri\":\"/closed\"}");
  CHECK(store.find({Kind::kRoute, "1"})->json == "{\"uri\":\"/a\"}");
  CHECK(store.find({Kind::kRoute, "2"}) == nullptr);
  CHECK(store.find({Kind::kCredential, "3"})->json == "{\"desc\":\"\\u0001 \\\"\"}");
  CHECK(store.find({Kind::kCredential, "3"})->expires_at_ms == 1'900'000'000'123);
  CHECK(store.revision() == 5);
  CHECK(store.last_snapshot() == 9);
}

TEST_CASE("a log that breaks off at any byte has every change before that and takes more") {
  const Folder folder;
  std::vector<size_t> ends{0};
  {
    ResourceStore store = open(folder);
    for (uint64_t i = 1; i <= 4; i++) {
      REQUIRE(store.append({put(std::to_string(i), "{\"n\":" + std::to_string(i) + "}", i)}, i, i).ok());
      ends.push_back(std::filesystem::file_size(folder.file("store/log")));
    }
  }
  const std::string whole = read(folder.file("store/log"));
  for (size_t size = 0; size <= whole.size(); size++) {
    write(folder.file("store/log"), whole.substr(0, size));
    size_t expected = 0;
    while (expected + 1 < ends.size() && ends[expected + 1] <= size) expected++;
    {
      ResourceStore store = open(folder);
      INFO("cut at " << size);
      REQUIRE(store.all().size() == expected);
      REQUIRE(store.revision() == expected);
      REQUIRE(store.append({put("new", "{}", expected + 1)}, expected + 1, 9).ok());
    }
    const ResourceStore again = open(folder);
    REQUIRE(again.all().size() == expected + 1);
    REQUIRE(again.find({Kind::kRoute, "new"}) != nullptr);
  }
}

TEST_CASE("a log that is damaged before changes that were acknowledged is refused with its place") {
  const Folder folder;
  {
    ResourceStore store = open(folder);
    REQUIRE(store.append({put("1", "{}", 1)}, 1, 1).ok());
    REQUIRE(store.append({put("2", "{}", 2)}, 2, 2).ok());
  }
  std::string bytes = read(folder.file("store/log"));
  const size_t second = bytes.find("MGR1", 1);
  for (const size_t at : {size_t{0}, size_t{5}, size_t{9}, size_t{20}, second - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    write(folder.file("store/log"), damaged);
    const auto store = ResourceStore::open(folder.path);
    INFO("damaged at " << at);
    REQUIRE(!store.ok());
    CHECK(store.error().detail.find("store/log: damaged at byte 0") != std::string::npos);
    CHECK(read(folder.file("store/log")) == damaged);
  }
}

TEST_CASE(
    "a store that has grown is written anew and loses nothing, also when the log could not be emptied") {
  const Folder folder;
  const std::string long_json = "{\"desc\":\"" + std::string(2000, 'x') + "\"}";
  std::string log_before;
  {
    ResourceStore store = open(folder);
    for (uint64_t i = 1; i <= 700; i++)
      REQUIRE(store.append({put(std::to_string(i % 40), long_json, i)}, i, i).ok());
    log_before = read(folder.file("store/log"));
    REQUIRE(store.compact_if_due().ok());
    CHECK(std::filesystem::file_size(folder.file("store/log")) == 0);
    CHECK(std::filesystem::file_size(folder.file("store/base")) < log_before.size() / 10);
    REQUIRE(store.append({gone("7"), put("new", "{}", 702)}, 702, 702).ok());
  }
  const std::string log_after = read(folder.file("store/log"));
  for (const std::string& log : {log_after, log_before + log_after}) {
    write(folder.file("store/log"), log);
    const ResourceStore store = open(folder);
    CHECK(store.all().size() == 40);
    CHECK(store.find({Kind::kRoute, "7"}) == nullptr);
    CHECK(store.find({Kind::kRoute, "39"})->modified_index == 679);
    CHECK(store.revision() == 702);
  }
}

TEST_CASE("changes of more bytes than a frame may have are read back, from the log and from the base") {
  Folder folder;
  std::vector<StoredChange> changes;
  const std::string large = "{\"desc\":\"" + std::string(1500000, 'x') + "\"}";
  for (int i = 0; i < 46; i++) changes.push_back(put(std::to_string(i), large, 1));
  REQUIRE(open(folder).append(changes, 1, 1));
  ResourceStore store = open(folder);
  CHECK(store.all().size() == changes.size());
  REQUIRE(store.compact_if_due());
  CHECK(read(folder.path + "/store/log").empty());
  CHECK(open(folder).all().size() == changes.size());
}

TEST_CASE("a damaged base is refused with its place") {
  const Folder folder;
  open(folder);
  write(folder.file("store/base"), "MGR1 and nothing that follows");
  const auto store = ResourceStore::open(folder.path);
  REQUIRE(!store.ok());
  CHECK(store.error().detail.find("store/base: damaged at byte 0; bring back a copy") != std::string::npos);
}
