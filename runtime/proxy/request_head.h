// SPDX-License-Identifier: Apache-2.0
// The request as the upstream sees it: start line and fields, by the gateway's forwarding policy.
#pragma once

#include "exchange/exchange.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// Writes the head for the exchange's chosen node into its arena. `body` is how the body will be framed.
///
/// Hop-by-hop fields are dropped; Host follows the upstream's pass_host; X-Real-IP and X-Forwarded-* say what
/// the gateway knows, or what a trusted peer said; `Forwarded` is dropped; Upgrade travels only on routes
/// that allow it.
std::string_view write_upstream_head(const Context& context, exchange::Exchange& exchange,
                                     http::BodyKind body, bool is_upgrade);

/// The Host that goes upstream.
std::string_view choose_upstream_host(exchange::Exchange& exchange);

/// Whose certificate the node must show: that host in lower case without its port, IPv6 without brackets.
/// Empty when it is no host: no verification survives that.
std::string_view find_server_name(exchange::Exchange& exchange);

}  // namespace moongate::proxy
