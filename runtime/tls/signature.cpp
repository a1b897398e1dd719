// SPDX-License-Identifier: Apache-2.0
// The names of JWS, and what is checked before a library is asked.
#include "tls/signature.h"

#include <array>
#include <string>

#include "tls/signature_algorithm.h"

namespace moongate::tls {

namespace {

constexpr size_t kPemMaxBytes = 64 * 1024;

constexpr std::array<SignatureAlgorithm, 10> kAlgorithms = {{
    {"RS256", SignatureScheme::kRsaPkcs1, "sha256", "", 0},
    {"RS384", SignatureScheme::kRsaPkcs1, "sha384", "", 0},
    {"RS512", SignatureScheme::kRsaPkcs1, "sha512", "", 0},
    {"PS256", SignatureScheme::kRsaPss, "sha256", "", 0},
    {"PS384", SignatureScheme::kRsaPss, "sha384", "", 0},
    {"PS512", SignatureScheme::kRsaPss, "sha512", "", 0},
    {"ES256", SignatureScheme::kEcdsa, "sha256", "prime256v1", 32},
    {"ES384", SignatureScheme::kEcdsa, "sha384", "secp384r1", 48},
    {"ES512", SignatureScheme::kEcdsa, "sha512", "secp521r1", 66},
    {"EdDSA", SignatureScheme::kEddsa, "", "", 0},
}};

const SignatureAlgorithm* find_algorithm(std::string_view name) {
  for (const SignatureAlgorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

}  // namespace

bool has_signature(std::string_view algorithm_name) {
  const SignatureAlgorithm* algorithm = find_algorithm(algorithm_name);
  return algorithm != nullptr && has_scheme(algorithm->scheme);
}

base::Result<bool> verify_signature(std::string_view algorithm_name, std::string_view pem,
                                    std::string_view data, std::string_view signature) {
  const SignatureAlgorithm* algorithm = find_algorithm(algorithm_name);
  if (algorithm == nullptr) {
    return base::invalid("unknown signature algorithm \"" + std::string(algorithm_name) + "\"");
  }
  if (pem.size() > kPemMaxBytes) return base::invalid("the key is larger than 64 KB");
  return verify_signature_of(*algorithm, pem, data, signature);
}

}  // namespace moongate::tls
