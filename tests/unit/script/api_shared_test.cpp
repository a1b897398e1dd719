// SPDX-License-Identifier: Apache-2.0
// The C functions that Lua calls for dictionaries and limits, with the types that native.lua declares.
#include "script/api_shared.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

using namespace moongate;

extern "C" {
typedef struct {
  const char* data;
  size_t size;
} mg_text;
typedef struct mg_dict mg_dict;
typedef struct {
  int type;
  double number;
  const char* data;
  size_t size;
  uint32_t flags;
} mg_dict_value;
typedef struct {
  int is_admitted;
  double remaining;
  double reset_s;
  double retry_after_s;
} mg_verdict;
mg_dict* mg_dict_find(const char* name, size_t size);
int mg_dict_get(mg_dict* d, const char* key, size_t key_size, int is_stale_wanted, mg_dict_value* out);
int mg_dict_store(mg_dict* d, int op, const char* key, size_t key_size, const mg_dict_value* value,
                  double ttl, int* forcible);
int mg_dict_incr(mg_dict* d, const char* key, size_t key_size, double by, int has_init, double init,
                 double init_ttl, double* out, int* forcible);
int mg_dict_delete(mg_dict* d, const char* key, size_t key_size);
int mg_dict_expire(mg_dict* d, const char* key, size_t key_size, double ttl);
int mg_dict_ttl(mg_dict* d, const char* key, size_t key_size, double* out);
int mg_dict_push(mg_dict* d, const char* key, size_t key_size, int is_left, const mg_dict_value* value,
                 uint32_t* length);
int mg_dict_pop(mg_dict* d, const char* key, size_t key_size, int is_left, mg_dict_value* out);
int mg_dict_length(mg_dict* d, const char* key, size_t key_size, uint32_t* length);
void mg_dict_flush_all(mg_dict* d);
uint32_t mg_dict_flush_expired(mg_dict* d, uint32_t max);
int mg_dict_next_key(mg_dict* d, uint64_t* cursor, mg_text* out);
double mg_dict_capacity(mg_dict* d);
double mg_dict_free_space(mg_dict* d);
int mg_limit_take_token(const char* key, size_t key_size, double rate, double burst, double cost,
                        mg_verdict* out);
int mg_limit_take_window(const char* key, size_t key_size, double count, double window_s, double cost,
                         mg_verdict* out);
}

namespace {

struct Bound {
  Bound() {
    dicts.push_back(shm::SharedDict::make(segment, "first", 64 * 1024).take());
    dicts.push_back(shm::SharedDict::make(segment, "second", 128 * 1024).take());
    script::bind_shared_dicts(&dicts);
    script::bind_limit_tables(&tables);
    base::Clock::refresh();
  }
  ~Bound() {
    script::bind_shared_dicts(nullptr);
    script::bind_limit_tables(nullptr);
  }
  shm::Segment segment = shm::Segment::make(2 << 20).take();
  std::vector<shm::SharedDict> dicts;
  limit::Tables tables = limit::Tables::make(segment, limit::Tables::kSizeBytesMin).take();
};

}  // namespace

TEST_CASE("without shared memory there are no dictionaries and limiters say that they have no room") {
  mg_verdict verdict;
  REQUIRE(mg_dict_find("first", 5) == nullptr);
  REQUIRE(mg_limit_take_token("k", 1, 1, 1, 1, &verdict) == 1);
  REQUIRE(verdict.is_admitted == 0);
  REQUIRE(mg_limit_take_window("k", 1, 1, 1, 1, &verdict) == 1);
  REQUIRE(verdict.is_admitted == 0);
}

TEST_CASE("limits reach Lua with their verdict") {
  Bound bound;
  mg_verdict verdict;
  REQUIRE(mg_limit_take_token("k", 1, 1, 2, 1, &verdict) == 0);
  REQUIRE(verdict.is_admitted == 1);
  REQUIRE(verdict.remaining == 1);
  REQUIRE(mg_limit_take_token("k", 1, 1, 2, 2, &verdict) == 0);
  REQUIRE(verdict.is_admitted == 0);
  REQUIRE(verdict.retry_after_s == Approx(1));
  REQUIRE(mg_limit_take_window("k", 1, 1, 60, 1, &verdict) == 0);
  REQUIRE(verdict.is_admitted == 1);
  REQUIRE(mg_limit_take_window("k", 1, 1, 60, 1, &verdict) == 0);
  REQUIRE(verdict.is_admitted == 0);
  REQUIRE(verdict.reset_s == Approx(60));
}

TEST_CASE("dictionary functions keep the contract of native.lua") {
  Bound bound;
  mg_dict* dict = mg_dict_find("second", 6);
  REQUIRE(dict != nullptr);
  REQUIRE(mg_dict_find("third", 5) == nullptr);
  REQUIRE(mg_dict_capacity(dict) == 128 * 1024);
  const double free_before = mg_dict_free_space(dict);
  const mg_dict_value text{3, 0, "hello", 5, 9};
  const mg_dict_value truth{1, 1, nullptr, 0, 0};
  mg_dict_value out;
  int forcible = -1;
  double number = 0;
  uint32_t length = 0;
  REQUIRE(mg_dict_store(dict, 0, "s", 1, &text, 0, &forcible) == 0);
  REQUIRE(forcible == 0);
  REQUIRE(mg_dict_store(dict, 1, "s", 1, &text, 0, &forcible) == 2);
  REQUIRE(mg_dict_store(dict, 2, "t", 1, &truth, 0, &forcible) == 1);
  REQUIRE(mg_dict_store(dict, 4, "t", 1, &truth, 0, &forcible) == 0);
  REQUIRE(mg_dict_get(dict, "s", 1, 0, &out) == 0);
  REQUIRE(out.type == 3);
  REQUIRE(std::string(out.data, out.size) == "hello");
  REQUIRE(out.flags == 9);
  REQUIRE(mg_dict_get(dict, "t", 1, 0, &out) == 0);
  REQUIRE(out.type == 1);
  REQUIRE(out.number == 1);
  REQUIRE(mg_dict_get(dict, "none", 4, 0, &out) == 1);
  REQUIRE(out.type == 0);
  REQUIRE(mg_dict_incr(dict, "n", 1, 2, 0, 0, 0, &number, &forcible) == 1);
  REQUIRE(mg_dict_incr(dict, "n", 1, 2, 1, 5, 0, &number, &forcible) == 0);
  REQUIRE(number == 7);
  REQUIRE(mg_dict_incr(dict, "s", 1, 2, 0, 0, 0, &number, &forcible) == 4);
  REQUIRE(mg_dict_expire(dict, "n", 1, 30) == 0);
  REQUIRE(mg_dict_ttl(dict, "n", 1, &number) == 0);
  REQUIRE(number == Approx(30));
  REQUIRE(mg_dict_push(dict, "l", 1, 1, &text, &length) == 0);
  REQUIRE(mg_dict_push(dict, "s", 1, 1, &text, &length) == 4);
  REQUIRE(mg_dict_length(dict, "l", 1, &length) == 0);
  REQUIRE(length == 1);
  REQUIRE(mg_dict_get(dict, "l", 1, 0, &out) == 6);
  std::set<std::string> keys;
  uint64_t cursor = 0;
  mg_text key;
  while (mg_dict_next_key(dict, &cursor, &key) == 1) keys.insert(std::string(key.data, key.size));
  REQUIRE(keys == std::set<std::string>{"s", "t", "n", "l"});
  REQUIRE(mg_dict_pop(dict, "l", 1, 0, &out) == 0);
  REQUIRE(std::string(out.data, out.size) == "hello");
  REQUIRE(mg_dict_delete(dict, "s", 1) == 0);
  mg_dict_flush_all(dict);
  REQUIRE(mg_dict_get(dict, "n", 1, 1, &out) == 5);
  REQUIRE(mg_dict_flush_expired(dict, 0) == 2);
  REQUIRE(mg_dict_free_space(dict) == free_before);
}
