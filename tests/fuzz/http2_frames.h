// SPDX-License-Identifier: Apache-2.0
// Frames of HTTP/2 as fuzzers write them: see http2_fuzz.cpp and http2_link_fuzz.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::fuzz {

constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kSettings = 4;
constexpr size_t kFrameHeadBytes = 9;

inline std::string make_frame(uint8_t type, uint8_t flags, uint8_t stream, std::string_view payload) {
  const char head[kFrameHeadBytes] = {static_cast<char>(payload.size() >> 16),
                                      static_cast<char>(payload.size() >> 8),
                                      static_cast<char>(payload.size()),
                                      static_cast<char>(type),
                                      static_cast<char>(flags),
                                      0,
                                      0,
                                      0,
                                      static_cast<char>(stream)};
  return std::string(head, sizeof head) + std::string(payload);
}

// Short enough for a length of one byte.
inline std::string literal(std::string_view name, std::string_view value) {
  constexpr size_t kTextMaxBytes = 126;
  name = name.substr(0, kTextMaxBytes);
  value = value.substr(0, kTextMaxBytes);
  std::string line(1, '\0');
  line += static_cast<char>(name.size());
  line += name;
  line += static_cast<char>(value.size());
  return line += value;
}

}  // namespace moongate::fuzz
