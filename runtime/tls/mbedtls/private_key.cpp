// SPDX-License-Identifier: Apache-2.0
// Keys of our own as mbedTLS makes and uses them.
#include "tls/private_key.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>

#include "base/random.h"
#include "tls/digest.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

constexpr unsigned kRsaBits = 2048;
constexpr int kRsaExponent = 65537;
constexpr size_t kKeyMaxBytes = 8 * 1024;

int fill_random(void*, unsigned char* bytes, size_t size) {
  return base::fill_random(reinterpret_cast<char*>(bytes), size) ? 0 : MBEDTLS_ERR_PK_BAD_INPUT_DATA;
}

int generate(mbedtls_pk_context* key, KeyType type) {
  const auto kind = type == KeyType::kRsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY;
  if (const int fault = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(kind)); fault != 0) return fault;
  if (type == KeyType::kRsa)
    return mbedtls_rsa_gen_key(mbedtls_pk_rsa(*key), fill_random, nullptr, kRsaBits, kRsaExponent);
  return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), fill_random, nullptr);
}

Result<void> read_key(const std::string& pem, Key& key) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(pem.c_str());
  const int fault = mbedtls_pk_parse_key(key.get(), bytes, pem.size() + 1, nullptr, 0);
  if (fault == 0) return {};
  return describe_fault("it holds no private key in PEM form without a password", fault);
}

}  // namespace

Result<std::string> make_key(KeyType type) {
  Key key;
  std::string pem(kKeyMaxBytes, '\0');
  int fault = generate(key.get(), type);
  if (fault == 0)
    fault = mbedtls_pk_write_key_pem(key.get(), reinterpret_cast<unsigned char*>(pem.data()), pem.size());
  if (fault != 0) return describe_fault("no key can be made", fault);
  pem.resize(pem.find('\0'));
  return pem;
}

Result<std::string> public_key_info(const std::string& key_pem) {
  Key key;
  if (auto read = read_key(key_pem, key); !read) return read.error();
  std::string bytes(kKeyMaxBytes, '\0');
  const int size =
      mbedtls_pk_write_pubkey_der(key.get(), reinterpret_cast<unsigned char*>(bytes.data()), bytes.size());
  if (size <= 0) return describe_fault("the key's public half cannot be written", size);
  return bytes.substr(bytes.size() - static_cast<size_t>(size));  // it is written from the end
}

Result<std::string> sign_sha256(const std::string& key_pem, std::string_view data) {
  Key key;
  if (auto read = read_key(key_pem, key); !read) return read.error();
  char hash[kDigestMaxBytes];
  const size_t hash_size = digest("sha256", data, hash);
  std::string signature(MBEDTLS_PK_SIGNATURE_MAX_SIZE, '\0');
  size_t size = 0;
  const int fault =
      mbedtls_pk_sign(key.get(), MBEDTLS_MD_SHA256, reinterpret_cast<unsigned char*>(hash), hash_size,
                      reinterpret_cast<unsigned char*>(signature.data()), &size, fill_random, nullptr);
  if (fault != 0) return describe_fault("the key cannot sign", fault);
  signature.resize(size);
  return signature;
}

}  // namespace moongate::tls
