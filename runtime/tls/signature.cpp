// SPDX-License-Identifier: Apache-2.0
#include "tls/signature.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <string>

namespace moongate::tls {

namespace {

constexpr int kRsaMinBits = 2048;
constexpr size_t kPemMaxBytes = 64 * 1024;

enum class Scheme { kRsaPkcs1, kRsaPss, kEcdsa, kEddsa };

struct Algorithm {
  std::string_view name;
  Scheme scheme;
  const EVP_MD* (*md)();
  std::string_view curve;   // the only one RFC 7518 allows
  size_t coordinate_bytes;  // half of a raw ECDSA signature
};

const std::array<Algorithm, 10> kAlgorithms = {{
    {"RS256", Scheme::kRsaPkcs1, EVP_sha256, "", 0},
    {"RS384", Scheme::kRsaPkcs1, EVP_sha384, "", 0},
    {"RS512", Scheme::kRsaPkcs1, EVP_sha512, "", 0},
    {"PS256", Scheme::kRsaPss, EVP_sha256, "", 0},
    {"PS384", Scheme::kRsaPss, EVP_sha384, "", 0},
    {"PS512", Scheme::kRsaPss, EVP_sha512, "", 0},
    {"ES256", Scheme::kEcdsa, EVP_sha256, "prime256v1", 32},
    {"ES384", Scheme::kEcdsa, EVP_sha384, "secp384r1", 48},
    {"ES512", Scheme::kEcdsa, EVP_sha512, "secp521r1", 66},
    {"EdDSA", Scheme::kEddsa, nullptr, "", 0},
}};

struct Deleter {
  void operator()(BIO* it) const { BIO_free(it); }
  void operator()(EVP_PKEY* it) const { EVP_PKEY_free(it); }
  void operator()(X509* it) const { X509_free(it); }
  void operator()(EVP_MD_CTX* it) const { EVP_MD_CTX_free(it); }
  void operator()(ECDSA_SIG* it) const { ECDSA_SIG_free(it); }
};
template <class T>
using Owned = std::unique_ptr<T, Deleter>;

const Algorithm* find_algorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

// An empty pass phrase for encrypted PEM, so that the library never asks at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

Owned<EVP_PKEY> read_public_key(std::string_view pem) {
  Owned<BIO> source(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (source == nullptr) return nullptr;
  if (pem.find("BEGIN CERTIFICATE") != std::string_view::npos) {
    Owned<X509> certificate(PEM_read_bio_X509(source.get(), nullptr, no_passphrase, nullptr));
    return Owned<EVP_PKEY>(certificate == nullptr ? nullptr : X509_get_pubkey(certificate.get()));
  }
  return Owned<EVP_PKEY>(PEM_read_bio_PUBKEY(source.get(), nullptr, no_passphrase, nullptr));
}

base::Result<void> check_key(EVP_PKEY* key, const Algorithm& algorithm) {
  std::string name(algorithm.name);
  int type = EVP_PKEY_get_base_id(key);
  switch (algorithm.scheme) {
    case Scheme::kRsaPkcs1:
    case Scheme::kRsaPss:
      if (type != EVP_PKEY_RSA && !(algorithm.scheme == Scheme::kRsaPss && type == EVP_PKEY_RSA_PSS)) {
        return base::invalid(name + " needs an RSA key");
      }
      if (EVP_PKEY_get_bits(key) < kRsaMinBits) {
        return base::invalid("the RSA key is shorter than 2048 bits");
      }
      return {};
    case Scheme::kEcdsa: {
      char curve[64] = {};
      size_t size = 0;
      if (type != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, curve, sizeof(curve), &size) != 1 ||
          algorithm.curve != std::string_view(curve, size)) {
        return base::invalid(name + " needs a key on the curve " + std::string(algorithm.curve));
      }
      return {};
    }
    case Scheme::kEddsa:
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
  Owned<ECDSA_SIG> signature(ECDSA_SIG_new());
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

bool set_padding(EVP_PKEY_CTX* context, const Algorithm& algorithm) {
  if (algorithm.scheme != Scheme::kRsaPss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

base::Result<bool> verify_signature(std::string_view algorithm_name, std::string_view pem,
                                    std::string_view data, std::string_view signature) {
  const Algorithm* algorithm = find_algorithm(algorithm_name);
  if (algorithm == nullptr) {
    return base::invalid("unknown signature algorithm \"" + std::string(algorithm_name) + "\"");
  }
  if (pem.size() > kPemMaxBytes) return base::invalid("the key is larger than 64 KB");
  ERR_clear_error();
  Owned<EVP_PKEY> key = read_public_key(pem);
  ERR_clear_error();
  if (key == nullptr) return base::invalid("the key is no public key or certificate in PEM form");
  if (auto checked = check_key(key.get(), *algorithm); !checked) return checked.error();

  std::string der;
  if (algorithm->scheme == Scheme::kEcdsa) {
    der = der_of_raw(signature, algorithm->coordinate_bytes);
    if (der.empty()) return false;
    signature = der;
  }
  Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  const EVP_MD* md = algorithm->md == nullptr ? nullptr : algorithm->md();
  if (context == nullptr || EVP_DigestVerifyInit(context.get(), &key_context, md, nullptr, key.get()) != 1 ||
      !set_padding(key_context, *algorithm)) {
    ERR_clear_error();
    return base::invalid("the key cannot be used for " + std::string(algorithm_name));
  }
  int verdict =
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(data.data()), data.size());
  ERR_clear_error();
  return verdict == 1;
}

}  // namespace moongate::tls
