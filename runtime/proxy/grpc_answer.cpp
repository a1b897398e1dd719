// SPDX-License-Identifier: Apache-2.0
#include "proxy/grpc_answer.h"

#include <string>

#include "base/hex.h"
#include "exchange/variables.h"

namespace moongate::proxy {

using http::FieldId;

namespace {

// Of gRPC-Web (application/grpc-web), whose trailers are part of its body, only what plugin grpc-web makes of
// a gRPC answer: an upstream's own has to look broken off.
bool is_grpc(const exchange::Exchange& exchange, std::string_view type) {
  if (!type.starts_with(kGrpcContentType)) return false;
  const std::string_view rest = type.substr(kGrpcContentType.size());
  if (rest.empty() || rest.front() == '+' || rest.front() == ';') return true;
  const auto scheme = exchange::find_upstream_scheme(exchange);
  return rest.starts_with("-web") && scheme && upstream::is_http2(*scheme);
}

}  // namespace

GrpcStatus status_of_reset(http::Http2Code code) {
  switch (code) {
    case http::Http2Code::kCancel:
      return GrpcStatus::kCancelled;
    case http::Http2Code::kRefusedStream:
      return GrpcStatus::kUnavailable;
    case http::Http2Code::kEnhanceYourCalm:
      return GrpcStatus::kResourceExhausted;
    case http::Http2Code::kInadequateSecurity:
      return GrpcStatus::kPermissionDenied;
    default:
      return GrpcStatus::kInternal;
  }
}

bool has_begun_grpc_answer(const exchange::Exchange& exchange) {
  if (!exchange.is_head_sent || exchange.is_last_passed || !exchange.upstream_trailers.empty()) return false;
  if (exchange.response.status != 200 || exchange.request.is_http10()) return false;
  const http::FieldList& fields = exchange.response.fields;
  const http::Field* type = fields.find(FieldId::kContentType);
  // One that has said its length would look whole, or end in a reset anyway.
  return type && is_grpc(exchange, type->value) && !fields.find(FieldId::kContentLength);
}

std::string_view make_grpc_trailers(exchange::Exchange& exchange, GrpcStatus status,
                                    std::string_view message) {
  std::string lines = "grpc-status: " + std::to_string(static_cast<int>(status)) + "\r\ngrpc-message: ";
  for (const char c : message) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%')
      lines.push_back(c);
    else
      lines.append("%").append(base::to_hex({&c, 1}, base::kHexUpper));
  }
  return exchange.arena.copy(lines.append("\r\n"));
}

}  // namespace moongate::proxy
