// SPDX-License-Identifier: Apache-2.0
// Signatures of JWS as mbedTLS checks them.
#include <mbedtls/ecdsa.h>
#include <mbedtls/rsa.h>

#include <string>

#include "tls/digest.h"
#include "tls/mbedtls/owned.h"
#include "tls/signature_algorithm.h"

namespace moongate::tls {

namespace {

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

mbedtls_md_type_t library_digest(std::string_view name) {
  return name == "sha256" ? MBEDTLS_MD_SHA256 : name == "sha384" ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA512;
}

mbedtls_ecp_group_id library_curve(std::string_view name) {
  return name == "prime256v1"  ? MBEDTLS_ECP_DP_SECP256R1
         : name == "secp384r1" ? MBEDTLS_ECP_DP_SECP384R1
                               : MBEDTLS_ECP_DP_SECP521R1;
}

/// The key in `pem`, which is `own` or that of `certificate`; null when there is none.
mbedtls_pk_context* read_public_key(const std::string& pem, Key& own, Certificates& certificate) {
  const size_t size = pem.size() + 1;  // the library wants the zero counted
  if (pem.find("BEGIN CERTIFICATE") != std::string::npos)
    return mbedtls_x509_crt_parse(certificate.get(), bytes_of(pem), size) == 0 ? &certificate->pk : nullptr;
  if (pem.find("BEGIN PUBLIC KEY") == std::string::npos) return nullptr;
  return mbedtls_pk_parse_public_key(own.get(), bytes_of(pem), size) == 0 ? own.get() : nullptr;
}

base::Result<void> check_key(const mbedtls_pk_context* key, const SignatureAlgorithm& algorithm) {
  const std::string name(algorithm.name);
  if (algorithm.scheme == SignatureScheme::kEcdsa) {
    const bool is_curve = mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA) == 1 &&
                          mbedtls_pk_ec(*key)->grp.id == library_curve(algorithm.curve);
    if (is_curve) return {};
    return base::invalid(name + " needs a key on the curve " + std::string(algorithm.curve));
  }
  if (mbedtls_pk_can_do(key, MBEDTLS_PK_RSA) != 1) return base::invalid(name + " needs an RSA key");
  if (mbedtls_pk_get_bitlen(key) < static_cast<size_t>(kRsaMinBits))
    return base::invalid("the RSA key is shorter than 2048 bits");
  return {};
}

// JWS has r and s side by side.
bool is_ecdsa_signature(mbedtls_ecp_keypair* key, std::string_view hash, std::string_view signature) {
  const size_t half = signature.size() / 2;
  Number r;
  Number s;
  return mbedtls_mpi_read_binary(r.get(), bytes_of(signature), half) == 0 &&
         mbedtls_mpi_read_binary(s.get(), bytes_of(signature) + half, half) == 0 &&
         mbedtls_ecdsa_verify(&key->grp, bytes_of(hash), hash.size(), &key->Q, r.get(), s.get()) == 0;
}

}  // namespace

bool has_scheme(SignatureScheme scheme) { return scheme != SignatureScheme::kEddsa; }

base::Result<bool> verify_signature_of(const SignatureAlgorithm& algorithm, std::string_view pem,
                                       std::string_view data, std::string_view signature) {
  if (!has_scheme(algorithm.scheme))
    return base::invalid(
        "EdDSA is not in this build, which uses mbedTLS; use another algorithm or the build with OpenSSL");
  Key own;
  Certificates certificate;
  mbedtls_pk_context* key = read_public_key(std::string(pem), own, certificate);
  if (key == nullptr) return base::invalid("the key is no public key or certificate in PEM form");
  if (auto checked = check_key(key, algorithm); !checked) return checked.error();
  char hash[kDigestMaxBytes];
  const size_t hash_size = digest(algorithm.digest, data, hash);
  if (hash_size == 0) return base::invalid("the key cannot be used for " + std::string(algorithm.name));
  const auto* hash_bytes = reinterpret_cast<const unsigned char*>(hash);
  const mbedtls_md_type_t md = library_digest(algorithm.digest);
  switch (algorithm.scheme) {
    case SignatureScheme::kEcdsa:
      return signature.size() == 2 * algorithm.coordinate_bytes &&
             is_ecdsa_signature(mbedtls_pk_ec(*key), {hash, hash_size}, signature);
    case SignatureScheme::kRsaPss: {
      const mbedtls_pk_rsassa_pss_options options{md, static_cast<int>(hash_size)};
      return mbedtls_pk_verify_ext(MBEDTLS_PK_RSASSA_PSS, &options, key, md, hash_bytes, hash_size,
                                   bytes_of(signature), signature.size()) == 0;
    }
    default:
      return mbedtls_pk_verify(key, md, hash_bytes, hash_size, bytes_of(signature), signature.size()) == 0;
  }
}

}  // namespace moongate::tls
