// SPDX-License-Identifier: Apache-2.0
#include "tls/cipher.h"

#include "base/assert.h"
#include "base/base64.h"

namespace moongate::tls {

namespace {

constexpr size_t kTextMaxBytes = size_t{16} << 20;

}  // namespace

std::optional<std::string> encrypt_text(std::string_view key, std::string_view text) {
  MG_ASSERT(is_cipher_key(key));
  if (text.size() > kTextMaxBytes) return std::nullopt;
  const std::optional<std::string> raw = crypt_cbc(key, text, true);
  return raw ? std::optional(base::to_base64(*raw)) : std::nullopt;
}

std::optional<std::string> decrypt_text(std::string_view key, std::string_view encrypted) {
  MG_ASSERT(is_cipher_key(key));
  if (encrypted.empty() || encrypted.size() % 4 != 0 || encrypted.size() > kTextMaxBytes * 2)
    return std::nullopt;
  const std::optional<std::string> raw = base::from_base64(encrypted);
  if (!raw || raw->empty() || raw->size() % kCipherBlockBytes != 0) return std::nullopt;
  return crypt_cbc(key, *raw, false);
}

}  // namespace moongate::tls
