// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.h"

#include <cstring>
#include <utility>

#include "base/hex.h"
#include "base/random.h"

namespace moongate::base {
namespace {

struct Digits {
  char pair[2];
};

constexpr std::array<Digits, 256> make_digits() {
  std::array<Digits, 256> digits{};
  for (size_t byte = 0; byte < digits.size(); byte++)
    digits[byte] = {{kHexLower[byte / 16], kHexLower[byte % 16]}};
  return digits;
}

constexpr std::array<Digits, 256> kDigits = make_digits();

bool draw(std::array<uint8_t, 16>* bytes) {
  return cut_random(reinterpret_cast<char*>(bytes->data()), bytes->size());
}

void finish(std::array<uint8_t, 16>* bytes, unsigned version, char* out) {
  auto& all = *bytes;
  all[6] = static_cast<uint8_t>((all[6] & 0x0f) | version << 4);
  all[8] = static_cast<uint8_t>((all[8] & 0x3f) | 0x80);
  write_uuid(all, out);
}

}  // namespace

void write_uuid(const std::array<uint8_t, 16>& bytes, char* out) {
  constexpr std::array<size_t, 16> kPlaces = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
  [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
    (std::memcpy(out + kPlaces[kIndex], kDigits[bytes[kIndex]].pair, 2), ...);
  }
  (std::make_index_sequence<16>());
  for (const size_t dash : {8, 13, 18, 23}) out[dash] = '-';
}

bool make_uuid_v4(char* out) {
  std::array<uint8_t, 16> bytes;
  if (!draw(&bytes)) return false;
  finish(&bytes, 4, out);
  return true;
}

bool make_uuid_v7(uint64_t unix_ms, char* out) {
  std::array<uint8_t, 16> bytes;
  if (!draw(&bytes)) return false;
  for (size_t i = 0; i < 6; i++) bytes[i] = static_cast<uint8_t>(unix_ms >> (40 - 8 * i));
  finish(&bytes, 7, out);
  return true;
}

}  // namespace moongate::base
