// SPDX-License-Identifier: Apache-2.0
// Base64, percent-encoding and CRC-32 for Lua: border functions of lua/lib/moongate/native.lua. No state, no
// allocation; the caller has made room.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/base64.h"
#include "base/hex.h"
#include "base/uuid.h"

namespace {

using moongate::base::Base64Alphabet;

Base64Alphabet alphabet_of(int is_url) {
  return is_url != 0 ? Base64Alphabet::kUrl : Base64Alphabet::kStandard;
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

constexpr bool is_listed(const char* list, char c) {
  for (; *list != 0; ++list) {
    if (*list == c) return true;
  }
  return false;
}

constexpr bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// What stands as it is: in a component only the unreserved characters, in a path also what separates.
constexpr std::array<bool, 256> make_kept(bool is_component) {
  std::array<bool, 256> kept{};
  for (int i = 0x21; i < 0x7f; ++i) {
    char c = static_cast<char>(i);
    kept[static_cast<size_t>(i)] =
        is_component ? is_alphanumeric(c) || is_listed("-._~!'()*", c) : !is_listed("\"#%<>?\\^`{|}", c);
  }
  return kept;
}
constexpr auto kKeptInComponent = make_kept(true);
constexpr auto kKeptInPath = make_kept(false);

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

extern "C" {

size_t mg_base64_encode(const char* data, size_t size, int is_url, int is_padded, char* out) {
  return moongate::base::encode_base64({data, size}, alphabet_of(is_url), is_padded != 0, out);
}

long mg_base64_decode(const char* data, size_t size, int is_url, char* out) {
  const auto decoded = moongate::base::decode_base64({data, size}, alphabet_of(is_url), out);
  return decoded ? static_cast<long>(*decoded) : -1;
}

size_t mg_escape_uri(const char* data, size_t size, int kind, char* out) {
  const auto& kept = kind == 0 ? kKeptInPath : kKeptInComponent;
  char* at = out;
  for (size_t i = 0; i < size; ++i) {
    auto c = static_cast<uint8_t>(data[i]);
    if (kept[c]) {
      *at++ = static_cast<char>(c);
      continue;
    }
    *at++ = '%';
    at = moongate::base::write_hex({data + i, 1}, at, moongate::base::kHexUpper);
  }
  return static_cast<size_t>(at - out);
}

size_t mg_unescape_uri(const char* data, size_t size, char* out) {
  char* at = out;
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '+') {
      *at++ = ' ';
      continue;
    }
    if (data[i] == '%' && i + 2 < size) {
      int high = hex_value(data[i + 1]);
      int low = hex_value(data[i + 2]);
      if (high >= 0 && low >= 0) {
        *at++ = static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    *at++ = data[i];
  }
  return static_cast<size_t>(at - out);
}

uint32_t mg_crc32(const char* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i)
    crc = kCrcTable[(crc ^ static_cast<uint8_t>(data[i])) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffu;
}

// How many members the objects of a JSON text have, that is, how many `:` are outside its strings.
size_t mg_json_member_count(const char* text, size_t size) {
  size_t count = 0;
  bool is_in_string = false;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] == '"')
      is_in_string = !is_in_string;
    else if (text[i] == '\\')
      ++i;
    else
      count += text[i] == ':' && !is_in_string;
  }
  return count;
}

int mg_uuid_v4(char* out) { return moongate::base::make_uuid_v4(out) ? 1 : 0; }
int mg_uuid_v7(double unix_ms, char* out) {
  return moongate::base::make_uuid_v7(static_cast<uint64_t>(unix_ms), out) ? 1 : 0;
}

}  // extern "C"
