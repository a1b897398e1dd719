// SPDX-License-Identifier: Apache-2.0
// Numbers in the files that the gateway writes, the lowest byte first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::base {

/// Appends the lowest `size` bytes of `number`.
inline void put_number(std::string& out, uint64_t number, size_t size) {
  for (size_t i = 0; i < size; i++) out.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
}

/// The number in `size` bytes from `at` on; they must be there.
inline uint64_t get_number(std::string_view bytes, size_t at, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++) number |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return number;
}

}  // namespace moongate::base
