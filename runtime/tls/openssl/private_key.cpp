// SPDX-License-Identifier: Apache-2.0
// Keys of our own as OpenSSL makes and uses them.
#include "tls/private_key.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

using SignContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
constexpr size_t kRsaBits = 2048;

Result<Key> read_key(const std::string& pem) {
  ERR_clear_error();
  const Bio text = read_text(pem);
  Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_password, nullptr));
  if (!key) return describe_fault("it holds no private key in PEM form without a password");
  return Result<Key>(std::move(key));
}

}  // namespace

Result<std::string> make_key(KeyType type) {
  ERR_clear_error();
  const Key key(type == KeyType::kRsa ? EVP_RSA_gen(kRsaBits) : EVP_EC_gen("P-256"));
  const Bio out(BIO_new(BIO_s_mem()));
  if (!key || !out ||
      PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return describe_fault("no key can be made");
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

Result<std::string> public_key_info(const std::string& key_pem) {
  const Result<Key> key = read_key(key_pem);
  if (!key) return key.error();
  unsigned char* bytes = nullptr;
  const int size = i2d_PUBKEY(key->get(), &bytes);
  if (size <= 0) return describe_fault("the key's public half cannot be written");
  std::string info(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return info;
}

Result<std::string> sign_sha256(const std::string& key_pem, std::string_view data) {
  const Result<Key> key = read_key(key_pem);
  if (!key) return key.error();
  const SignContext context(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(data.data());
  size_t size = 0;
  std::string signature;
  if (context && EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key->get()) == 1 &&
      EVP_DigestSign(context.get(), nullptr, &size, bytes, data.size()) == 1) {
    signature.resize(size);
    auto* out = reinterpret_cast<unsigned char*>(signature.data());
    if (EVP_DigestSign(context.get(), out, &size, bytes, data.size()) == 1) {
      signature.resize(size);
      return signature;
    }
  }
  return describe_fault("the key cannot sign");
}

}  // namespace moongate::tls
