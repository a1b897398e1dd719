// SPDX-License-Identifier: Apache-2.0
#include "base/base64.h"

#include <array>
#include <cstdint>

namespace moongate::base {

namespace {

constexpr char kStandard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kUrl[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> reverse_of(const char* alphabet) {
  std::array<uint8_t, 256> reverse{};
  for (auto& value : reverse) value = kNone;
  for (uint8_t i = 0; i < 64; ++i) reverse[static_cast<uint8_t>(alphabet[i])] = i;
  return reverse;
}
constexpr auto kStandardReverse = reverse_of(kStandard);
constexpr auto kUrlReverse = reverse_of(kUrl);

}  // namespace

size_t encode_base64(std::string_view bytes, Base64Alphabet alphabet_kind, bool is_padded, char* out) {
  const char* alphabet = alphabet_kind == Base64Alphabet::kUrl ? kUrl : kStandard;
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t size = bytes.size();
  char* at = out;
  size_t i = 0;
  for (; i + 2 < size; i += 3) {
    uint32_t group = uint32_t{in[i]} << 16 | uint32_t{in[i + 1]} << 8 | in[i + 2];
    *at++ = alphabet[group >> 18];
    *at++ = alphabet[group >> 12 & 63];
    *at++ = alphabet[group >> 6 & 63];
    *at++ = alphabet[group & 63];
  }
  size_t rest = size - i;
  if (rest > 0) {
    uint32_t group = uint32_t{in[i]} << 16 | (rest == 2 ? uint32_t{in[i + 1]} << 8 : 0);
    *at++ = alphabet[group >> 18];
    *at++ = alphabet[group >> 12 & 63];
    if (rest == 2) *at++ = alphabet[group >> 6 & 63];
    for (size_t pad = rest; is_padded && pad < 3; ++pad) *at++ = '=';
  }
  return static_cast<size_t>(at - out);
}

std::optional<size_t> decode_base64(std::string_view text, Base64Alphabet alphabet, char* out) {
  const auto& reverse = alphabet == Base64Alphabet::kUrl ? kUrlReverse : kStandardReverse;
  size_t end = text.size();
  while (end > 0 && text.size() - end < 2 && text[end - 1] == '=') --end;
  if (end % 4 == 1) return std::nullopt;
  char* at = out;
  uint32_t group = 0;
  for (size_t i = 0; i < end; ++i) {
    uint8_t value = reverse[static_cast<uint8_t>(text[i])];
    if (value == kNone) return std::nullopt;
    group = group << 6 | value;
    if (i % 4 == 3) {
      *at++ = static_cast<char>(group >> 16 & 0xff);
      *at++ = static_cast<char>(group >> 8 & 0xff);
      *at++ = static_cast<char>(group & 0xff);
      group = 0;
    }
  }
  if (end % 4 == 2) *at++ = static_cast<char>(group >> 4 & 0xff);
  if (end % 4 == 3) {
    *at++ = static_cast<char>(group >> 10 & 0xff);
    *at++ = static_cast<char>(group >> 2 & 0xff);
  }
  return static_cast<size_t>(at - out);
}

std::string to_base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4, '\0');
  encode_base64(bytes, Base64Alphabet::kStandard, true, out.data());
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out(text.size() / 4 * 3 + 3, '\0');
  const auto size = decode_base64(text, Base64Alphabet::kStandard, out.data());
  if (!size) return std::nullopt;
  out.resize(*size);
  return out;
}

}  // namespace moongate::base
