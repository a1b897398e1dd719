// SPDX-License-Identifier: Apache-2.0
#include "proxy/grpc_answer.h"

#include <string>

namespace moongate::proxy {

using http::FieldId;

bool has_begun_grpc_answer(const exchange::Exchange& exchange) {
  constexpr std::string_view kContentType = "application/grpc";
  if (!exchange.is_head_sent || !exchange.upstream_trailers.empty()) return false;
  if (exchange.response.status != 200 || exchange.request.is_http10()) return false;
  const http::FieldList& fields = exchange.response.fields;
  const http::Field* type = fields.find(FieldId::kContentType);
  // One that has said its length would look whole, or end in a reset anyway.
  return type && type->value.starts_with(kContentType) && !fields.find(FieldId::kContentLength);
}

std::string_view make_grpc_trailers(exchange::Exchange& exchange, GrpcStatus status,
                                    std::string_view message) {
  constexpr char kHexDigits[] = "0123456789ABCDEF";
  std::string lines = "grpc-status: " + std::to_string(static_cast<int>(status)) + "\r\ngrpc-message: ";
  for (const char c : message) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%')
      lines.push_back(c);
    else
      lines.append({'%', kHexDigits[byte >> 4], kHexDigits[byte & 15]});
  }
  return exchange.arena.copy(lines.append("\r\n"));
}

}  // namespace moongate::proxy
