// SPDX-License-Identifier: Apache-2.0
// Keys of our own making, and what an authority wants to see of them: signatures in the form of JWS (RFC
// 7518), the public key as a JWK (RFC 7517) and the request for a certificate (RFC 2986). Apart from
// signature.h, which only ever verifies, with the keys of others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace moongate::tls {

enum class KeyType : uint8_t {
  kEcdsa,  // on P-256
  kRsa,    // of 2,048 bits
};

/// A private key in PEM form. RSA takes some tenths of a second.
base::Result<std::string> make_key(KeyType type);

/// JWS's signature of `data` under ES256, r and s side by side. Fails for what is no key on P-256.
base::Result<std::string> sign_es256(const std::string& key_pem, std::string_view data);
/// The public half of a key on P-256 as JSON, its members in the order that a thumbprint needs (RFC 7638).
base::Result<std::string> public_jwk(const std::string& key_pem);

/// The request for a certificate for `names` (DNS), signed with the key they are to have; DER. Its subject is
/// empty: names are looked for among the alternative names alone.
base::Result<std::string> make_certificate_request(const std::string& key_pem,
                                                   const std::vector<std::string>& names);

// --- what the library does, for private_key.cpp alone

/// The SubjectPublicKeyInfo of a private key, DER. Fails for what is no private key in PEM form.
base::Result<std::string> public_key_info(const std::string& key_pem);
/// The library's signature over the SHA-256 of `data`: ECDSA-Sig-Value in DER, or PKCS #1 v1.5.
base::Result<std::string> sign_sha256(const std::string& key_pem, std::string_view data);

}  // namespace moongate::tls
