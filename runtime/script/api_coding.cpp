// SPDX-License-Identifier: Apache-2.0
// Content codings for Lua: border functions of lua/lib/moongate/native.lua. The decoded body lives until the
// next call, so that Lua can copy it.
#include <string>
#include <string_view>
#include <utility>

#include "http/content_decoding.h"

namespace {

struct mg_text {
  const char* data;
  size_t size;
};

std::string& last_result() {
  static thread_local std::string result;
  return result;
}

}  // namespace

extern "C" {

int mg_content_coding(const char* name, size_t size) {
  return static_cast<int>(moongate::http::find_coding({name, size}));
}

int mg_content_decode(int coding, const char* data, size_t size, size_t size_max, mg_text* out) {
  moongate::http::DecodingLimits limits;
  if (size_max > 0 && size_max < limits.size_max_bytes) limits.size_max_bytes = size_max;
  auto plain =
      moongate::http::decode_content(static_cast<moongate::http::Coding>(coding), {data, size}, limits);
  bool is_plain = plain.ok();
  last_result() = is_plain ? plain.take() : plain.error().detail;
  *out = {last_result().data(), last_result().size()};
  return is_plain ? 1 : 0;
}

void mg_content_forget(void) { last_result() = {}; }

}  // extern "C"
