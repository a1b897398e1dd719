// SPDX-License-Identifier: Apache-2.0
// What an answer's head says of the length of its body, the same whatever the wire.
#pragma once

#include <sys/uio.h>

#include <optional>

#include "exchange/exchange.h"

namespace moongate::proxy {

/// True for answers that have no body, whatever their fields say; a Content-Length that cannot be is removed.
bool settle_bodiless(exchange::Exchange& exchange);
/// What Content-Length says; nothing when there is none, or it is no number.
std::optional<uint64_t> find_length(const http::FieldList& fields);
/// The length that the head gives for the body. One that is no number is removed; when the pieces are
/// `is_whole` and nothing was said, they are counted and it is added. Nothing when only the end will tell.
std::optional<uint64_t> settle_length(exchange::Exchange& exchange, const iovec* pieces, int count,
                                      bool is_whole);

}  // namespace moongate::proxy
