// SPDX-License-Identifier: Apache-2.0
// Who the client is: what it may not say about itself, and which address it really comes from.
#pragma once

#include "exchange/exchange.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// True for fields that only the gateway may set: X-Consumer-*, X-Credential-*, X-Userinfo, in any case and
/// with
/// `_` in place of `-`.
bool is_identity_field(std::string_view name);

/// Removes what the client's Connection field lists (now, so that it cannot list what plugins will set) and
/// identity fields it sent, keeps forwarded fields of trusted peers, and settles the remote address: for a
/// trusted peer, the last address of X-Forwarded-For that is not itself trusted.
void settle_identity(const Context& context, exchange::Exchange& exchange);

}  // namespace moongate::proxy
