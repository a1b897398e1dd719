// SPDX-License-Identifier: Apache-2.0
#include "tls/cipher.h"

#include <mbedtls/cipher.h>

#include "tls/mbedtls/owned.h"

namespace moongate::tls {

namespace {

using CipherContext = Owned<mbedtls_cipher_context_t, mbedtls_cipher_init, mbedtls_cipher_free>;

// A view of nothing may have no address.
const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.empty() ? "" : text.data());
}

}  // namespace

std::optional<std::string> crypt_cbc(std::string_view key, std::string_view text, bool is_encrypting) {
  const auto type = key.size() == 16 ? MBEDTLS_CIPHER_AES_128_CBC : MBEDTLS_CIPHER_AES_256_CBC;
  CipherContext context;
  std::string out(text.size() + kCipherBlockBytes, '\0');
  size_t size = 0;
  const bool is_done =
      mbedtls_cipher_setup(context.get(), mbedtls_cipher_info_from_type(type)) == 0 &&
      mbedtls_cipher_setkey(context.get(), bytes_of(key), static_cast<int>(key.size() * 8),
                            is_encrypting ? MBEDTLS_ENCRYPT : MBEDTLS_DECRYPT) == 0 &&
      mbedtls_cipher_set_padding_mode(context.get(), MBEDTLS_PADDING_PKCS7) == 0 &&
      mbedtls_cipher_crypt(context.get(), bytes_of(key), kCipherBlockBytes, bytes_of(text), text.size(),
                           reinterpret_cast<unsigned char*>(out.data()), &size) == 0;
  if (!is_done) return std::nullopt;
  out.resize(size);
  return out;
}

}  // namespace moongate::tls
