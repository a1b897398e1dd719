// SPDX-License-Identifier: Apache-2.0
// Shared dictionaries for Lua: the functions that lua/lib/moongate/native.lua declares under "shared
// dictionaries". Results are shm::DictStatus's numbers, with two that depend on the call: 6 from mg_dict_get
// is "the value is a list", 4 from the list functions is "the value is not a list".
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "script/api_shared.h"
#include "shm/shared_dict.h"

#define MG_API __attribute__((visibility("default"), used))

namespace moongate::script {

namespace {

using shm::DictStatus;
using shm::DictValue;
using shm::SharedDict;

static_assert(static_cast<int>(DictStatus::kNotFound) == 1 && static_cast<int>(DictStatus::kExists) == 2 &&
              static_cast<int>(DictStatus::kNoMemory) == 3 && static_cast<int>(DictStatus::kNotNumber) == 4 &&
              static_cast<int>(DictStatus::kStale) == 5 && static_cast<int>(DictStatus::kWrongType) == 6);
static_assert(static_cast<int>(DictValue::Type::kBool) == 1 &&
              static_cast<int>(DictValue::Type::kNumber) == 2 &&
              static_cast<int>(DictValue::Type::kString) == 3);
static_assert(static_cast<int>(shm::DictStore::kAdd) == 1 &&
              static_cast<int>(shm::DictStore::kReplace) == 2 &&
              static_cast<int>(shm::DictStore::kSafeSet) == 3 &&
              static_cast<int>(shm::DictStore::kSafeAdd) == 4);

constexpr size_t kBufferKeptBytes = 1 << 20;

std::vector<SharedDict>* bound_dicts = nullptr;
thread_local std::string text_buffer;

/// The layouts of `mg_text` and `mg_dict_value`.
struct Text {
  const char* data;
  size_t size;
};
struct Value {
  int type;
  double number;
  const char* data;
  size_t size;
  uint32_t flags;
};

/// For the functions on lists, where a value of another kind has the number of "not a number" elsewhere.
int list_result(DictStatus status) {
  return static_cast<int>(status == DictStatus::kWrongType ? DictStatus::kNotNumber : status);
}

SharedDict& dict_of(void* handle) { return *static_cast<SharedDict*>(handle); }

/// The buffer that texts come back in. One large value must not occupy its size for ever.
std::string& buffer() {
  if (text_buffer.capacity() > kBufferKeptBytes) std::string().swap(text_buffer);
  return text_buffer;
}

DictValue from_lua(const Value& value) {
  DictValue out;
  out.flags = value.flags;
  if (value.type == 1) {
    out.type = DictValue::Type::kBool;
    out.number = value.number != 0 ? 1 : 0;
  } else if (value.type == 2) {
    out.type = DictValue::Type::kNumber;
    out.number = value.number;
  } else if (value.type == 3) {
    out.type = DictValue::Type::kString;
    out.text = {value.data, value.size};
  }
  return out;
}

void to_lua(const DictValue& value, Value* out) {
  *out = Value{static_cast<int>(value.type), value.number, nullptr, 0, value.flags};
  if (value.type != DictValue::Type::kString) return;
  out->data = value.text.data();
  out->size = value.text.size();
}

}  // namespace

void bind_shared_dicts(std::vector<SharedDict>* dicts) { bound_dicts = dicts; }

extern "C" {

MG_API void* mg_dict_find(const char* name, size_t size) {
  if (bound_dicts == nullptr) return nullptr;
  for (SharedDict& dict : *bound_dicts) {
    if (dict.name() == std::string_view(name, size)) return &dict;
  }
  return nullptr;
}

MG_API int mg_dict_get(void* dict, const char* key, size_t key_size, int is_stale_wanted, Value* out) {
  DictValue value;
  DictStatus status = dict_of(dict).get({key, key_size}, is_stale_wanted != 0, buffer(), value);
  to_lua(value, out);
  return static_cast<int>(status);
}

MG_API int mg_dict_store(void* dict, int op, const char* key, size_t key_size, const Value* value, double ttl,
                         int* forcible) {
  bool is_forcible = false;
  DictStatus status = dict_of(dict).store(static_cast<shm::DictStore>(op < 0 || op > 4 ? 0 : op),
                                          {key, key_size}, from_lua(*value), ttl, is_forcible);
  *forcible = is_forcible ? 1 : 0;
  return static_cast<int>(status);
}

MG_API int mg_dict_incr(void* dict, const char* key, size_t key_size, double by, int has_init, double init,
                        double init_ttl, double* out, int* forcible) {
  bool is_forcible = false;
  const SharedDict::Increment increment{by, has_init != 0, init, init_ttl};
  DictStatus status = dict_of(dict).increment({key, key_size}, increment, *out, is_forcible);
  *forcible = is_forcible ? 1 : 0;
  return static_cast<int>(status);
}

MG_API int mg_dict_delete(void* dict, const char* key, size_t key_size) {
  return static_cast<int>(dict_of(dict).remove({key, key_size}));
}

MG_API int mg_dict_expire(void* dict, const char* key, size_t key_size, double ttl) {
  return static_cast<int>(dict_of(dict).set_ttl({key, key_size}, ttl));
}

MG_API int mg_dict_ttl(void* dict, const char* key, size_t key_size, double* out) {
  return static_cast<int>(dict_of(dict).get_ttl({key, key_size}, *out));
}

MG_API int mg_dict_push(void* dict, const char* key, size_t key_size, int is_left, const Value* value,
                        uint32_t* length) {
  return list_result(dict_of(dict).push({key, key_size}, is_left != 0, from_lua(*value), *length));
}

MG_API int mg_dict_pop(void* dict, const char* key, size_t key_size, int is_left, Value* out) {
  DictValue value;
  DictStatus status = dict_of(dict).pop({key, key_size}, is_left != 0, buffer(), value);
  to_lua(value, out);
  return list_result(status);
}

MG_API int mg_dict_length(void* dict, const char* key, size_t key_size, uint32_t* length) {
  return list_result(dict_of(dict).get_length({key, key_size}, *length));
}

MG_API void mg_dict_flush_all(void* dict) { dict_of(dict).flush_all(); }

MG_API uint32_t mg_dict_flush_expired(void* dict, uint32_t max) { return dict_of(dict).flush_expired(max); }

MG_API int mg_dict_next_key(void* dict, uint64_t* cursor, Text* out) {
  *out = Text{nullptr, 0};
  std::string& key = buffer();
  if (!dict_of(dict).next_key(*cursor, key)) return 0;
  *out = Text{key.data(), key.size()};
  return 1;
}

MG_API double mg_dict_capacity(void* dict) { return static_cast<double>(dict_of(dict).capacity_bytes()); }

MG_API double mg_dict_free_space(void* dict) { return static_cast<double>(dict_of(dict).free_bytes()); }

}  // extern "C"

}  // namespace moongate::script
