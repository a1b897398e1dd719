// SPDX-License-Identifier: Apache-2.0
#include "snapshot/blob.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <catch2/catch.hpp>

#include "snapshot/sealed_file.h"

using namespace moongate::snapshot;

namespace {

Record record(RecordKind kind, std::string_view id, std::string_view body, uint32_t order = 0,
              std::string_view place = "") {
  return Record{kind, 0, order, id, place, body, 0};
}

std::string make_blob(uint64_t number = 7, std::string_view place = "moongate.yaml:3",
                      std::string reason = "start") {
  BlobWriter writer;
  writer.add(record(RecordKind::kPluginSource, "key-auth", "return {}", 0, "key-auth.lua"));
  writer.add(record(RecordKind::kRoute, "a", R"({"uri":"/a"})", 1, place));
  writer.add(record(RecordKind::kRoute, "z", R"({"uri":"/z"})", 0, place));
  writer.add(record(RecordKind::kSettings, "", "{}"));
  return writer.finish({number, 1234, std::move(reason)}).take();
}

}  // namespace

TEST_CASE("a blob gives back what was added, sorted by kind, routes in the order of their file") {
  const std::string bytes = make_blob();
  const BlobView view = BlobView::open(bytes).take();
  REQUIRE(view.number() == 7);
  REQUIRE(view.made_at_ms() == 1234);
  REQUIRE(view.reason() == "start");
  REQUIRE(view.body_of(RecordKind::kSettings) == "{}");
  REQUIRE(view.body_of(RecordKind::kPluginAttr, "none") == "none");
  const auto routes = view.records_of(RecordKind::kRoute);
  REQUIRE(routes.size() == 2);
  REQUIRE(routes[0].id == "z");
  REQUIRE(routes[1].id == "a");
  REQUIRE(routes[1].place == "moongate.yaml:3");
  REQUIRE(routes[1].hash == hash64(R"({"uri":"/a"})"));
  REQUIRE(view.find(RecordKind::kPluginSource, "key-auth")->body == "return {}");
  REQUIRE(view.find(RecordKind::kPluginSource, "absent") == nullptr);
  // Views, not copies.
  REQUIRE(routes[0].body.data() > bytes.data());
  REQUIRE(routes[0].body.data() < bytes.data() + bytes.size());
}

TEST_CASE("number, reason and places do not count as content; order and bodies do") {
  const std::string first = make_blob(1, "a.yaml:1", "start");
  const std::string second = make_blob(2, "a.yaml:9", "reload");
  REQUIRE(BlobView::open(first)->hash() == BlobView::open(second)->hash());
  BlobWriter swapped;
  swapped.add(record(RecordKind::kPluginSource, "key-auth", "return {}"));
  swapped.add(record(RecordKind::kRoute, "a", R"({"uri":"/a"})", 0));
  swapped.add(record(RecordKind::kRoute, "z", R"({"uri":"/z"})", 1));
  swapped.add(record(RecordKind::kSettings, "", "{}"));
  const std::string third = swapped.finish({1, 0, "start"}).take();
  REQUIRE(BlobView::open(first)->hash() != BlobView::open(third)->hash());
}

TEST_CASE("a copy of a blob under another number has the same content") {
  const std::string first = make_blob(3);
  BlobWriter writer;
  writer.add_all(*BlobView::open(first));
  const std::string second = writer.finish({9, 5, "rollback to 3"}).take();
  const BlobView view = BlobView::open(second).take();
  REQUIRE(view.number() == 9);
  REQUIRE(view.reason() == "rollback to 3");
  REQUIRE(view.hash() == BlobView::open(first)->hash());
}

TEST_CASE("renumbering changes number, time and reason and nothing else") {
  const std::string first = make_blob(3);
  const BlobView before = BlobView::open(first).take();
  for (const std::string& reason : {std::string(), std::string("r"), std::string(300, 'x')}) {
    const std::string second = renumber(before, {9, 5, reason}).take();
    const BlobView view = BlobView::open(second).take();
    REQUIRE(view.number() == 9);
    REQUIRE(view.made_at_ms() == 5);
    REQUIRE(view.reason() == reason);
    REQUIRE(view.hash() == before.hash());
    REQUIRE(view.records().size() == before.records().size());
    for (size_t i = 1; i < view.records().size(); i++) {
      REQUIRE(view.records()[i].id == before.records()[i].id);
      REQUIRE(view.records()[i].place == before.records()[i].place);
      REQUIRE(view.records()[i].body == before.records()[i].body);
    }
  }
}

TEST_CASE("a blob read bit by bit holds what one read at once holds") {
  const std::string bytes = make_blob(3);
  const BlobView whole = BlobView::open(bytes).take();
  BlobView view = BlobView::begin(bytes).take();
  size_t steps = 0;
  while (!view.read_some(1).take()) steps++;
  REQUIRE(steps + 1 == whole.records().size());
  REQUIRE(view.records().size() == whole.records().size());
  for (size_t i = 0; i < whole.records().size(); i++)
    REQUIRE(view.records()[i].body == whole.records()[i].body);
}

TEST_CASE("a blob read bit by bit never reads beyond its end") {
  const std::string bytes = make_blob(3);
  for (size_t at = 64; at < bytes.size(); at++) {
    std::string turned = bytes;
    turned[at] = static_cast<char>(turned[at] ^ 0x40);
    auto view = BlobView::begin(turned);
    if (!view) continue;
    auto is_read = view->read_some(1000);
    if (!is_read) continue;
    for (const Record& record : view->records()) {
      REQUIRE(record.body.data() >= turned.data());
      REQUIRE(record.body.data() + record.body.size() <= turned.data() + turned.size());
    }
  }
}

TEST_CASE("two records of one kind and id are refused") {
  BlobWriter writer;
  writer.add(record(RecordKind::kRoute, "a", "{}", 0));
  writer.add(record(RecordKind::kRoute, "b", "{}", 1));
  writer.add(record(RecordKind::kRoute, "a", "{}", 2));
  REQUIRE_FALSE(writer.finish({1, 0, ""}).ok());
}

TEST_CASE("a blob cut at any byte is refused") {
  const std::string bytes = make_blob();
  for (size_t size = 0; size < bytes.size(); size++) {
    INFO(size);
    REQUIRE_FALSE(BlobView::open(std::string_view(bytes).substr(0, size)).ok());
  }
  REQUIRE_FALSE(BlobView::open(bytes + std::string(8, '\0')).ok());
}

TEST_CASE("a blob with any bit turned is refused") {
  const std::string bytes = make_blob();
  for (size_t at = 0; at < bytes.size() * 8; at++) {
    std::string turned = bytes;
    turned[at / 8] = static_cast<char>(turned[at / 8] ^ (1 << (at % 8)));
    INFO(at);
    REQUIRE_FALSE(BlobView::open(turned).ok());
  }
}

TEST_CASE("every resource kind has a record kind of its own") {
  for (size_t i = 0; i < moongate::config::kKindCount; i++) {
    const auto kind = static_cast<moongate::config::Kind>(i);
    const moongate::config::Kind* back = resource_kind(record_kind(kind));
    REQUIRE(back != nullptr);
    REQUIRE(*back == kind);
  }
  REQUIRE(resource_kind(RecordKind::kSettings) == nullptr);
  REQUIRE(resource_kind(RecordKind::kPluginSource) == nullptr);
}

TEST_CASE("a sealed memfd holds the bytes and cannot be written") {
  const Descriptor file = write_sealed_memfd("some bytes").take();
  REQUIRE(::write(file.get(), "x", 1) == -1);
  REQUIRE(::ftruncate(file.get(), 0) == -1);
  MappedFile mapped = map_memfd(file.get()).take();
  REQUIRE(mapped.bytes() == "some bytes");
  MappedFile moved = std::move(mapped);
  REQUIRE(moved.bytes() == "some bytes");
}

TEST_CASE("a memfd that could still change is not mapped") {
  const Descriptor file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::write(file.get(), "abc", 3) == 3);
  REQUIRE_FALSE(map_memfd(file.get()).ok());
  REQUIRE_FALSE(map_memfd(-1).ok());
}

TEST_CASE("hashes tell bytes, ends and seeds apart") {
  REQUIRE(hash64("") != hash64(std::string_view("\0", 1)));
  REQUIRE(hash64("abcdefgh") != hash64(std::string_view("abcdefgh\0", 9)));
  REQUIRE(hash64("0123456789abcdef") != hash64("0123456789abcdeg"));
  REQUIRE(hash64("x", 1) != hash64("x", 2));
  Hasher one, two;
  one.add("ab");
  one.add("c");
  two.add("a");
  two.add("bc");
  REQUIRE(one.finish() != two.finish());
  REQUIRE(one.finish().text().size() == 32);
}

TEST_CASE("records are replaced, added and removed as if the blob had been written so") {
  BlobWriter writer;
  for (const char* id : {"a", "b", "c"}) writer.add(Record{RecordKind::kRoute, 0, 5, id, "f:1", "{}", 0});
  writer.add(Record{RecordKind::kUpstream, 0, 0, "u", "f:2", "{\"nodes\":{}}", 0});
  const std::string before = writer.finish({1, 10, "start"}).take();
  const Record changed{RecordKind::kRoute, 0, 9, "b", "api", "{\"changed\":1}", 0};
  const Record added{RecordKind::kRoute, 0, 5, "bb", "api", "{\"added\":1}", 0};
  const std::vector<RecordChange> changes{{RecordKind::kRoute, "b", &changed},
                                          {RecordKind::kRoute, "bb", &added},
                                          {RecordKind::kRoute, "c", nullptr},
                                          {RecordKind::kRoute, "never there", nullptr}};
  const auto made = replace_records(BlobView::open(before).take(), changes, {2, 20, "api"});
  REQUIRE(made.ok());
  writer.add(Record{RecordKind::kRoute, 0, 5, "a", "f:1", "{}", 0});
  writer.add(changed);
  writer.add(added);
  writer.add(Record{RecordKind::kUpstream, 0, 0, "u", "f:2", "{\"nodes\":{}}", 0});
  CHECK(*made == writer.finish({2, 20, "api"}).take());
  const BlobView view = BlobView::open(*made).take();
  CHECK(view.find(RecordKind::kRoute, "a")->body == "{}");
  CHECK(view.find(RecordKind::kRoute, "b")->order == 9);
  CHECK(view.find(RecordKind::kRoute, "c") == nullptr);
}
