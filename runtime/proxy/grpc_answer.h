// SPDX-License-Identifier: Apache-2.0
// How a gRPC call's answer that has begun is ended when its upstream cannot do it: with trailers of our own
// that say why, where a reset stream would only tell the client that something is wrong.
#pragma once

#include <string_view>

#include "exchange/exchange.h"
#include "http/http2_session.h"

namespace moongate::proxy {

constexpr std::string_view kGrpcContentType = "application/grpc";

/// Codes of gRPC that the gateway gives by itself.
enum class GrpcStatus : uint8_t {
  kCancelled = 1,
  kDeadlineExceeded = 4,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kInternal = 13,
  kUnavailable = 14,
  kUnauthenticated = 16
};

/// What a client that reaches the server itself makes of a reset stream (gRPC over HTTP/2, "Errors").
GrpcStatus status_of_reset(http::Http2Code code);

/// True when an answer of gRPC's has begun that the client expects trailers behind, and has neither them nor
/// its end yet.
bool has_begun_grpc_answer(const exchange::Exchange& exchange);

/// Lines as ClientSide::set_trailers takes them, in the exchange's memory.
std::string_view make_grpc_trailers(exchange::Exchange& exchange, GrpcStatus status,
                                    std::string_view message);

}  // namespace moongate::proxy
