// SPDX-License-Identifier: Apache-2.0
// What signature.cpp and the library that does the work agree on. Only tls/ includes it.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace moongate::tls {

enum class SignatureScheme { kRsaPkcs1, kRsaPss, kEcdsa, kEddsa };

inline constexpr int kRsaMinBits = 2048;

struct SignatureAlgorithm {
  std::string_view name;  // JWA
  SignatureScheme scheme;
  std::string_view digest;  // empty for EdDSA, which has its own
  std::string_view curve;   // the only one RFC 7518 allows
  size_t coordinate_bytes;  // half of a raw ECDSA signature
};

/// Whether the library has it.
bool has_scheme(SignatureScheme scheme);
/// verify_signature() for a known algorithm and a text that may be a key.
base::Result<bool> verify_signature_of(const SignatureAlgorithm& algorithm, std::string_view pem,
                                       std::string_view data, std::string_view signature);

}  // namespace moongate::tls
