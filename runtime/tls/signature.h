// SPDX-License-Identifier: Apache-2.0
// Verifies JWS signatures (RFC 7518, RFC 8037) with a public key. HMAC is not here on purpose: a caller
// cannot use a public key as a shared secret by way of this function, whatever algorithm a token asks for.
#pragma once

#include <string_view>

#include "base/result.h"

namespace moongate::tls {

/// True when `signature` is the one of `data`. `algorithm` is the JWA name: RS256 ... PS512, ES256 ... ES512,
/// EdDSA; `pem` a public key or a certificate. An error means that the key cannot be used with the algorithm:
/// wrong type or curve, RSA shorter than 2,048 bits, no PEM.
base::Result<bool> verify_signature(std::string_view algorithm, std::string_view pem, std::string_view data,
                                    std::string_view signature);

/// Whether verify_signature() knows the algorithm: not every library has all of them.
bool has_signature(std::string_view algorithm);

}  // namespace moongate::tls
