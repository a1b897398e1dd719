// SPDX-License-Identifier: Apache-2.0
// What can be told of a certificate by itself.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/hex.h"

namespace moongate::tls {

/// Why the first certificate in `pem` does not hold at `now`: "it expired on 2026-01-31 12:00:00 UTC". Empty
/// when it does, or when there is no certificate.
std::string describe_validity(const std::string& pem, base::WallTime now);

/// Whether a text begins with a certificate, or is a private key without a password, in PEM form.
bool holds_certificate(const std::string& pem);
bool holds_key(const std::string& pem);

/// Whether a text is an IPv4 or IPv6 address (without brackets): such a name is looked for among the
/// addresses of a certificate, and never sent as the name of the server.
bool is_address(std::string_view name);

/// Two of the sixteen `digits` for each byte.
inline std::string hex(const unsigned char* bytes, size_t size, std::string_view digits) {
  return base::to_hex({reinterpret_cast<const char*>(bytes), size}, digits);
}

}  // namespace moongate::tls
