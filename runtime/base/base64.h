// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648), in the standard alphabet and in the one for URLs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace moongate::base {

enum class Base64Alphabet : bool { kStandard, kUrl };

/// Writes at most (size + 2) / 3 * 4 characters; how many they were.
size_t encode_base64(std::string_view bytes, Base64Alphabet alphabet, bool is_padded, char* out);
/// Takes padded and unpadded texts; writes at most 3 bytes for 4 characters. Nothing for what is no Base64.
std::optional<size_t> decode_base64(std::string_view text, Base64Alphabet alphabet, char* out);

/// The same for whole texts in the standard alphabet, padded.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

}  // namespace moongate::base
