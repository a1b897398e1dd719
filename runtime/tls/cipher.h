// SPDX-License-Identifier: Apache-2.0
// Texts kept under a key, in the form that APISIX gives them: AES in CBC mode, in Base64, the key being the
// initialization vector too. Equal texts become equal; nothing says that a text was not tampered with.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moongate::tls {

/// AES-128 takes a key of 16 bytes, AES-256 one of 32.
inline bool is_cipher_key(std::string_view key) { return key.size() == 16 || key.size() == 32; }

inline constexpr size_t kCipherBlockBytes = 16;

/// The bytes behind the Base64, with padding by PKCS #7; the library's part. Nothing when it refuses.
std::optional<std::string> crypt_cbc(std::string_view key, std::string_view text, bool is_encrypting);

/// Nothing when the library refuses.
std::optional<std::string> encrypt_text(std::string_view key, std::string_view text);
/// Nothing for what is no text under this key.
std::optional<std::string> decrypt_text(std::string_view key, std::string_view encrypted);

}  // namespace moongate::tls
