// SPDX-License-Identifier: Apache-2.0
// A client's certificates outside of a handshake of our TLS library: judged by the same rules, told in the
// same words.
#pragma once

#include <string_view>
#include <vector>

#include "base/clock.h"
#include "tls/handshake.h"
#include "tls/server_names.h"

namespace moongate::tls {

/// Whether `chain` (DER; the client's own certificate first) leads to an authority that `context` asks its
/// clients for.
bool leads_to_authority(const ServerContext& context, const std::vector<std::string_view>& chain);

/// What a certificate (DER) says of its owner; is_verified is the caller's to set. Not present when it is
/// malformed.
PeerCertificate describe_certificate(std::string_view der);

/// When the certificate (DER) runs out; 1970 when it is malformed.
base::WallTime end_of(std::string_view der);

}  // namespace moongate::tls
