// SPDX-License-Identifier: Apache-2.0
#include "tls/cipher.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>

namespace moongate::tls {

namespace {

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::optional<std::string> crypt_cbc(std::string_view key, std::string_view text, bool is_encrypting) {
  const std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter> context(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* cipher = key.size() == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
  std::string out(text.size() + kCipherBlockBytes, '\0');
  auto* at = reinterpret_cast<unsigned char*>(out.data());
  int size = 0;
  int rest = 0;
  const bool is_done =
      context != nullptr &&
      EVP_CipherInit_ex(context.get(), cipher, nullptr, bytes_of(key), bytes_of(key),
                        is_encrypting ? 1 : 0) == 1 &&
      EVP_CipherUpdate(context.get(), at, &size, bytes_of(text), static_cast<int>(text.size())) == 1 &&
      EVP_CipherFinal_ex(context.get(), at + size, &rest) == 1;
  ERR_clear_error();
  if (!is_done) return std::nullopt;
  out.resize(static_cast<size_t>(size + rest));
  return out;
}

}  // namespace moongate::tls
