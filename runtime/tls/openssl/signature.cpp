// SPDX-License-Identifier: Apache-2.0
// Signatures of JWS as OpenSSL checks them.
#include "tls/signature_algorithm.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>

#include "tls/openssl/owned.h"

namespace moongate::tls {

namespace {

using VerifyContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;

Key read_public_key(const std::string& pem) {
  const Bio source = read_text(pem);
  if (source == nullptr) return nullptr;
  if (pem.find("BEGIN CERTIFICATE") != std::string::npos) {
    const Certificate certificate(PEM_read_bio_X509(source.get(), nullptr, refuse_password, nullptr));
    return Key(certificate == nullptr ? nullptr : X509_get_pubkey(certificate.get()));
  }
  return Key(PEM_read_bio_PUBKEY(source.get(), nullptr, refuse_password, nullptr));
}

base::Result<void> check_key(EVP_PKEY* key, const SignatureAlgorithm& algorithm) {
  std::string name(algorithm.name);
  int type = EVP_PKEY_get_base_id(key);
  switch (algorithm.scheme) {
    case SignatureScheme::kRsaPkcs1:
    case SignatureScheme::kRsaPss:
      if (type != EVP_PKEY_RSA &&
          !(algorithm.scheme == SignatureScheme::kRsaPss && type == EVP_PKEY_RSA_PSS)) {
        return base::invalid(name + " needs an RSA key");
      }
      if (EVP_PKEY_get_bits(key) < kRsaMinBits) {
        return base::invalid("the RSA key is shorter than 2048 bits");
      }
      return {};
    case SignatureScheme::kEcdsa: {
      char curve[64] = {};
      size_t size = 0;
      if (type != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, curve, sizeof(curve), &size) != 1 ||
          algorithm.curve != std::string_view(curve, size)) {
        return base::invalid(name + " needs a key on the curve " + std::string(algorithm.curve));
      }
      return {};
    }
    case SignatureScheme::kEddsa:
      if (type != EVP_PKEY_ED25519 && type != EVP_PKEY_ED448) {
        return base::invalid("EdDSA needs an Ed25519 or Ed448 key");
      }
      return {};
  }
  return {};
}

// JWS has r and s side by side, the library wants them in DER. Empty when the size is wrong.
std::string der_of_raw(std::string_view raw, size_t half) {
  if (raw.size() != 2 * half) return {};
  auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  EcdsaSignature signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(bytes, static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(bytes + half, static_cast<int>(half), nullptr);
  if (signature == nullptr || ECDSA_SIG_set0(signature.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return {};
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

bool set_padding(EVP_PKEY_CTX* context, const SignatureAlgorithm& algorithm) {
  if (algorithm.scheme != SignatureScheme::kRsaPss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

bool has_scheme(SignatureScheme) { return true; }

base::Result<bool> verify_signature_of(const SignatureAlgorithm& algorithm, std::string_view pem,
                                       std::string_view data, std::string_view signature) {
  ERR_clear_error();
  const Key key = read_public_key(std::string(pem));
  ERR_clear_error();
  if (key == nullptr) return base::invalid("the key is no public key or certificate in PEM form");
  if (auto checked = check_key(key.get(), algorithm); !checked) return checked.error();

  std::string der;
  if (algorithm.scheme == SignatureScheme::kEcdsa) {
    der = der_of_raw(signature, algorithm.coordinate_bytes);
    if (der.empty()) return false;
    signature = der;
  }
  const VerifyContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  const EVP_MD* md =
      algorithm.digest.empty() ? nullptr : EVP_get_digestbyname(std::string(algorithm.digest).c_str());
  if (context == nullptr || EVP_DigestVerifyInit(context.get(), &key_context, md, nullptr, key.get()) != 1 ||
      !set_padding(key_context, algorithm)) {
    ERR_clear_error();
    return base::invalid("the key cannot be used for " + std::string(algorithm.name));
  }
  int verdict =
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(data.data()), data.size());
  ERR_clear_error();
  return verdict == 1;
}

}  // namespace moongate::tls
