// SPDX-License-Identifier: Apache-2.0
// The deadline that a gRPC call brings along (`grpc-timeout`), and what a call is told that has passed it.
// Servers keep deadlines by themselves; this is for those that have fallen silent. forward.cpp holds the
// timer.
#pragma once

#include <optional>

#include "base/clock.h"
#include "exchange/exchange.h"

namespace moongate::proxy {

/// How long the call may take from its beginning; nothing where it does not say, is no gRPC, or is malformed:
/// what is malformed the server judges. Limited to thirty days.
std::optional<base::Duration> find_grpc_timeout(const http::RequestHead& request);

/// Makes the answer DEADLINE_EXCEEDED, in gRPC's form for a call that has no answer yet: all in one head.
void answer_grpc_deadline(exchange::Exchange& exchange);

/// The trailers that end an answer which has begun.
std::string_view make_grpc_deadline_trailers(exchange::Exchange& exchange);

}  // namespace moongate::proxy
