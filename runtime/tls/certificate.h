// SPDX-License-Identifier: Apache-2.0
// What can be told of a certificate by itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/hex.h"
#include "base/result.h"

namespace moongate::tls {

/// Why the first certificate in `pem` does not hold at `now`: "it expired on 2026-01-31 12:00:00 UTC". Empty
/// when it does, or when there is no certificate.
std::string describe_validity(const std::string& pem, base::WallTime now);

/// From when to when a certificate holds.
struct Validity {
  base::WallTime from;
  base::WallTime until;
};
/// Of the first certificate in `pem`. Fails: when there is none.
base::Result<Validity> read_validity(const std::string& pem);

/// Whether the first certificate in `pem` is for this host.
bool is_for_host(const std::string& pem, const std::string& name);

/// A moment of a certificate, whose dates reach farther than our calendar does.
inline base::WallTime to_wall_time(int64_t seconds) {
  constexpr int64_t kMax = INT64_MAX / 1'000'000'000 - 1;
  return base::WallTime(std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kMax)));
}

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
