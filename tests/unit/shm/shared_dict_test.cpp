// SPDX-License-Identifier: Apache-2.0
#include "shm/shared_dict.h"

#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

using namespace moongate;
using namespace moongate::shm;

namespace {

DictValue number(double value) { return DictValue{DictValue::Type::kNumber, value, {}, 0}; }
DictValue text(std::string_view value) { return DictValue{DictValue::Type::kString, 0, value, 0}; }
DictValue boolean(bool value) { return DictValue{DictValue::Type::kBool, value ? 1.0 : 0.0, {}, 0}; }

/// A dictionary and a clock that the test moves.
struct Fixture {
  explicit Fixture(size_t size = 1 << 20)
      : segment(Segment::make(size + 4096).take()), dict(SharedDict::make(segment, "test", size).take()) {
    set_time(0);
  }
  ~Fixture() { set_time(0); }
  static void set_time(double seconds) {
    base::Clock::set_offset(base::Duration(static_cast<int64_t>(seconds * 1e9)));
    base::Clock::refresh();
  }
  DictStatus set(std::string_view key, const DictValue& stored, double ttl = 0) {
    return dict.store(DictStore::kSet, key, stored, ttl, is_forcible);
  }
  DictStatus store(DictStore how, std::string_view key, const DictValue& stored, double ttl = 0) {
    return dict.store(how, key, stored, ttl, is_forcible);
  }
  DictStatus get(std::string_view key, bool is_stale_wanted = false) {
    return dict.get(key, is_stale_wanted, buffer, value);
  }
  DictStatus incr(std::string_view key, double by) { return dict.increment(key, {by}, result, is_forcible); }

  Segment segment;
  SharedDict dict;
  std::string buffer;
  DictValue value;
  double result = 0;
  bool is_forcible = false;
};

}  // namespace

TEST_CASE("gives back what was stored, of every type, with its flags") {
  Fixture f;
  DictValue flagged = text("hello");
  flagged.flags = 77;
  REQUIRE(f.set("s", flagged) == DictStatus::kDone);
  REQUIRE(f.set("n", number(1.5)) == DictStatus::kDone);
  REQUIRE(f.set("b", boolean(true)) == DictStatus::kDone);
  REQUIRE(f.set("", text("empty key")) == DictStatus::kDone);
  REQUIRE(f.set("e", text("")) == DictStatus::kDone);
  REQUIRE(f.get("s") == DictStatus::kDone);
  REQUIRE(f.value.text == "hello");
  REQUIRE(f.value.flags == 77);
  REQUIRE(f.get("n") == DictStatus::kDone);
  REQUIRE(f.value.number == 1.5);
  REQUIRE(f.get("b") == DictStatus::kDone);
  REQUIRE(f.value.type == DictValue::Type::kBool);
  REQUIRE(f.value.number == 1);
  REQUIRE(f.get("") == DictStatus::kDone);
  REQUIRE(f.value.text == "empty key");
  REQUIRE(f.get("e") == DictStatus::kDone);
  REQUIRE(f.value.text.empty());
  REQUIRE(f.get("missing") == DictStatus::kNotFound);
}

TEST_CASE("values of any length up to a quarter of a shard come back whole, larger ones are refused") {
  Fixture f;
  for (size_t size : {1u, 55u, 63u, 64u, 65u, 119u, 120u, 121u, 183u, 184u, 185u, 5000u, 200000u}) {
    std::string value(size, ' ');
    for (size_t i = 0; i < size; ++i) value[i] = static_cast<char>('a' + i % 23);
    REQUIRE(f.set("key", text(value)) == DictStatus::kDone);
    REQUIRE(f.get("key") == DictStatus::kDone);
    REQUIRE(f.value.text == value);
  }
  REQUIRE(f.set("big", text(std::string(300000, 'x'))) == DictStatus::kNoMemory);
  REQUIRE(f.set(std::string(70000, 'k'), text("v")) == DictStatus::kNoMemory);
  std::string long_key(60000, 'k');
  REQUIRE(f.set(long_key, text("v")) == DictStatus::kDone);
  REQUIRE(f.get(long_key) == DictStatus::kDone);
  REQUIRE(f.value.text == "v");
}

TEST_CASE("add wants the key away and replace wants it there, where expired counts as away") {
  Fixture f;
  REQUIRE(f.store(DictStore::kReplace, "k", text("1")) == DictStatus::kNotFound);
  REQUIRE(f.store(DictStore::kAdd, "k", text("1"), 10) == DictStatus::kDone);
  REQUIRE(f.store(DictStore::kAdd, "k", text("2")) == DictStatus::kExists);
  REQUIRE(f.store(DictStore::kSafeAdd, "k", text("2")) == DictStatus::kExists);
  REQUIRE(f.store(DictStore::kReplace, "k", text("3"), 10) == DictStatus::kDone);
  Fixture::set_time(10.5);
  REQUIRE(f.get("k") == DictStatus::kNotFound);
  REQUIRE(f.get("k", true) == DictStatus::kStale);
  REQUIRE(f.value.text == "3");
  REQUIRE(f.store(DictStore::kReplace, "k", text("4")) == DictStatus::kNotFound);
  REQUIRE(f.store(DictStore::kAdd, "k", text("5")) == DictStatus::kDone);
  REQUIRE(f.get("k") == DictStatus::kDone);
  REQUIRE(f.value.text == "5");
}

TEST_CASE("a time to live can be read and changed, and nil removes") {
  Fixture f;
  double ttl = -1;
  REQUIRE(f.dict.get_ttl("k", ttl) == DictStatus::kNotFound);
  f.set("k", number(1));
  REQUIRE(f.dict.get_ttl("k", ttl) == DictStatus::kDone);
  REQUIRE(ttl == 0);
  REQUIRE(f.dict.set_ttl("k", 5) == DictStatus::kDone);
  REQUIRE(f.dict.get_ttl("k", ttl) == DictStatus::kDone);
  REQUIRE(ttl == Approx(5).margin(0.001));
  Fixture::set_time(6);
  REQUIRE(f.dict.set_ttl("k", 5) == DictStatus::kNotFound);
  f.set("k", number(2));
  REQUIRE(f.set("k", DictValue{}) == DictStatus::kDone);
  REQUIRE(f.get("k") == DictStatus::kNotFound);
  REQUIRE(f.dict.remove("k") == DictStatus::kDone);
}

TEST_CASE("incr adds, starts from init, and refuses what is no number") {
  Fixture f;
  REQUIRE(f.incr("k", 1) == DictStatus::kNotFound);
  REQUIRE(f.dict.increment("k", {1, true, 10, 5}, f.result, f.is_forcible) == DictStatus::kDone);
  REQUIRE(f.result == 11);
  REQUIRE(f.incr("k", -3.5) == DictStatus::kDone);
  REQUIRE(f.result == 7.5);
  Fixture::set_time(5.5);
  REQUIRE(f.incr("k", 1) == DictStatus::kNotFound);
  REQUIRE(f.dict.increment("k", {1, true, 0, 0}, f.result, f.is_forcible) == DictStatus::kDone);
  REQUIRE(f.result == 1);
  f.set("s", text("5"));
  REQUIRE(f.incr("s", 1) == DictStatus::kNotNumber);
}

TEST_CASE("lists push and pop at both ends and vanish when empty") {
  Fixture f;
  uint32_t length = 0;
  REQUIRE(f.dict.push("l", true, text("b"), length) == DictStatus::kDone);
  REQUIRE(f.dict.push("l", true, number(1), length) == DictStatus::kDone);
  REQUIRE(f.dict.push("l", false, text(std::string(1000, 'c')), length) == DictStatus::kDone);
  REQUIRE(length == 3);
  REQUIRE(f.get("l") == DictStatus::kWrongType);
  REQUIRE(f.incr("l", 1) == DictStatus::kNotNumber);
  REQUIRE(f.dict.pop("l", true, f.buffer, f.value) == DictStatus::kDone);
  REQUIRE(f.value.number == 1);
  REQUIRE(f.dict.pop("l", false, f.buffer, f.value) == DictStatus::kDone);
  REQUIRE(f.value.text == std::string(1000, 'c'));
  REQUIRE(f.dict.get_length("l", length) == DictStatus::kDone);
  REQUIRE(length == 1);
  REQUIRE(f.dict.pop("l", false, f.buffer, f.value) == DictStatus::kDone);
  REQUIRE(f.value.text == "b");
  REQUIRE(f.dict.pop("l", false, f.buffer, f.value) == DictStatus::kNotFound);
  REQUIRE(f.dict.get_length("l", length) == DictStatus::kDone);
  REQUIRE(length == 0);
  f.set("s", text("x"));
  REQUIRE(f.dict.push("s", true, text("y"), length) == DictStatus::kWrongType);
  REQUIRE(f.dict.pop("s", true, f.buffer, f.value) == DictStatus::kWrongType);
  REQUIRE(f.dict.get_length("s", length) == DictStatus::kWrongType);
  REQUIRE(f.dict.push("q", true, boolean(true), length) == DictStatus::kWrongType);
}

TEST_CASE("a list never evicts, and gives all its memory back") {
  Fixture f(64 * 1024);
  const size_t free_before = f.dict.free_bytes();
  f.set("other", text("stays"));
  uint32_t length = 0;
  DictStatus status = DictStatus::kDone;
  for (int i = 0; i < 10000 && status == DictStatus::kDone; ++i)
    status = f.dict.push("l", i % 2 == 0, number(i), length);
  REQUIRE(status == DictStatus::kNoMemory);
  REQUIRE(f.get("other") == DictStatus::kDone);
  f.dict.remove("l");
  f.dict.remove("other");
  REQUIRE(f.dict.free_bytes() == free_before);
}

TEST_CASE("evicts what was used longest ago, says so, and the safe forms do not") {
  Fixture f(64 * 1024);
  int count = 0;
  while (f.store(DictStore::kSafeSet, "k" + std::to_string(count), number(count)) == DictStatus::kDone)
    ++count;
  REQUIRE(count > 100);
  REQUIRE(f.get("k0") == DictStatus::kDone);
  REQUIRE(f.store(DictStore::kSafeAdd, "new", number(1)) == DictStatus::kNoMemory);
  REQUIRE(f.store(DictStore::kSafeSet, "k5", number(1)) == DictStatus::kDone);
  REQUIRE(f.set("new", number(1)) == DictStatus::kDone);
  REQUIRE(f.is_forcible);
  REQUIRE(f.get("k0") == DictStatus::kDone);
  REQUIRE(f.get("k1") == DictStatus::kNotFound);
  REQUIRE(f.get("k2") == DictStatus::kDone);
  REQUIRE(f.dict.increment("inc", {1, true, 0, 0}, f.result, f.is_forcible) == DictStatus::kDone);
  REQUIRE(f.is_forcible);
}

TEST_CASE("at most thirty entries are evicted for one value") {
  Fixture f(64 * 1024);
  int count = 0;
  while (f.store(DictStore::kSafeSet, "k" + std::to_string(count), number(count)) == DictStatus::kDone)
    ++count;
  REQUIRE(f.set("big", text(std::string(120 * 31, 'x'))) == DictStatus::kNoMemory);
  REQUIRE(f.is_forcible);
  int left = 0;
  for (int i = 0; i < count; ++i) left += f.get("k" + std::to_string(i)) == DictStatus::kDone;
  REQUIRE(left == count - 30);
}

TEST_CASE("a dictionary of expiring keys empties itself without evicting live ones") {
  Fixture f(64 * 1024);
  for (int i = 0; i < 20000; ++i) {
    Fixture::set_time(i * 0.1);
    REQUIRE(f.set("k" + std::to_string(i), number(i), 10) == DictStatus::kDone);
    REQUIRE_FALSE(f.is_forcible);
  }
}

TEST_CASE("flush_all expires everything and flush_expired gives the memory back") {
  Fixture f(1 << 20);
  const size_t free_before = f.dict.free_bytes();
  for (int i = 0; i < 100; ++i) f.set("k" + std::to_string(i), text("value"), i < 10 ? 1 : 0);
  Fixture::set_time(2);
  REQUIRE(f.dict.flush_expired(3) == 3);
  REQUIRE(f.dict.flush_expired(0) == 7);
  f.dict.flush_all();
  REQUIRE(f.get("k50") == DictStatus::kNotFound);
  REQUIRE(f.get("k50", true) == DictStatus::kStale);
  REQUIRE(f.dict.flush_expired(0) == 90);
  REQUIRE(f.dict.free_bytes() == free_before);
  REQUIRE(f.dict.capacity_bytes() == 1 << 20);
}

TEST_CASE("a walk sees every live key once, in all shards") {
  Fixture f(4 << 20);
  for (int i = 0; i < 1000; ++i) f.set("k" + std::to_string(i), number(i), i < 100 ? 1 : 0);
  Fixture::set_time(2);
  std::multiset<std::string> seen;
  uint64_t cursor = 0;
  std::string key;
  while (f.dict.next_key(cursor, key)) seen.insert(key);
  REQUIRE(seen.size() == 900);
  REQUIRE(std::set<std::string>(seen.begin(), seen.end()).size() == 900);
  REQUIRE(seen.count("k100") == 1);
}

TEST_CASE("too small a size and a repeated name are errors") {
  Segment segment = Segment::make(1 << 20).take();
  REQUIRE_FALSE(SharedDict::make(segment, "tiny", 1000).ok());
  REQUIRE(SharedDict::make(segment, "one", 20000).ok());
  REQUIRE_FALSE(SharedDict::make(segment, "one", 20000).ok());
  REQUIRE_FALSE(SharedDict::make(segment, "huge", 2 << 20).ok());
}

TEST_CASE("agrees with a plain map over random operations") {
  Fixture f(2 << 20);
  std::map<std::string, std::string> plain;
  std::map<std::string, std::deque<std::string>> lists;
  std::mt19937 random(GENERATE(1u, 2u, 3u));
  for (int i = 0; i < 20000; ++i) {
    const std::string key = "k" + std::to_string(random() % 200);
    const std::string list = "l" + std::to_string(random() % 20);
    const std::string value(random() % 300, static_cast<char>('a' + random() % 26));
    const bool is_left = random() % 2 == 0;
    uint32_t length = 0;
    switch (random() % 6) {
      case 0:
        REQUIRE(f.set(key, text(value)) == DictStatus::kDone);
        plain[key] = value;
        break;
      case 1:
        f.dict.remove(key);
        plain.erase(key);
        break;
      case 2:
      case 3:
        REQUIRE((f.get(key) == DictStatus::kDone) == (plain.count(key) == 1));
        if (plain.count(key) == 1) REQUIRE(f.value.text == plain[key]);
        break;
      case 4:
        REQUIRE(f.dict.push(list, is_left, text(value), length) == DictStatus::kDone);
        is_left ? lists[list].push_front(value) : lists[list].push_back(value);
        REQUIRE(length == lists[list].size());
        break;
      default:
        std::deque<std::string>& model = lists[list];
        REQUIRE((f.dict.pop(list, is_left, f.buffer, f.value) == DictStatus::kDone) == !model.empty());
        if (model.empty()) break;
        REQUIRE(f.value.text == (is_left ? model.front() : model.back()));
        is_left ? model.pop_front() : model.pop_back();
    }
  }
}
