// SPDX-License-Identifier: Apache-2.0
#include "proxy/grpc_deadline.h"

#include <charconv>

#include "proxy/grpc_answer.h"

namespace moongate::proxy {

namespace {

constexpr std::string_view kMessage = "the deadline passed before the upstream had answered";

// Nanoseconds of gRPC's units; 0 for what is none.
int64_t nanoseconds_of(char unit) {
  using namespace std::chrono;
  switch (unit) {
    case 'H':
      return nanoseconds(hours(1)).count();
    case 'M':
      return nanoseconds(minutes(1)).count();
    case 'S':
      return nanoseconds(seconds(1)).count();
    case 'm':
      return nanoseconds(milliseconds(1)).count();
    case 'u':
      return nanoseconds(microseconds(1)).count();
    case 'n':
      return 1;
    default:
      return 0;
  }
}

std::optional<base::Duration> parse_grpc_timeout(std::string_view text) {
  constexpr base::Duration kTimeoutMax = std::chrono::hours(24 * 30);
  constexpr size_t kDigitsMax = 8;
  if (text.size() < 2 || text.size() > kDigitsMax + 1) return std::nullopt;
  uint32_t amount = 0;
  const char* end = text.data() + text.size() - 1;
  const auto parsed = std::from_chars(text.data(), end, amount);
  const int64_t unit = nanoseconds_of(*end);
  if (parsed.ec != std::errc() || parsed.ptr != end || unit == 0) return std::nullopt;
  if (amount > kTimeoutMax.count() / unit) return kTimeoutMax;
  return base::Duration(amount * unit);
}

}  // namespace

std::optional<base::Duration> find_grpc_timeout(const http::RequestHead& request) {
  const http::Field* timeout = request.fields.find("grpc-timeout");
  if (!timeout) return std::nullopt;
  const http::Field* type = request.fields.find(http::FieldId::kContentType);
  if (!type || !type->value.starts_with(kGrpcContentType)) return std::nullopt;
  return parse_grpc_timeout(timeout->value);
}

std::string_view make_grpc_deadline_trailers(exchange::Exchange& exchange) {
  return make_grpc_trailers(exchange, GrpcStatus::kDeadlineExceeded, kMessage);
}

void answer_grpc_deadline(exchange::Exchange& exchange) {
  constexpr auto kStatus = static_cast<int>(GrpcStatus::kDeadlineExceeded);
  exchange.answer(200, {}, kGrpcContentType);
  exchange.response.fields.set("grpc-status", exchange.arena.copy(std::to_string(kStatus)));
  exchange.response.fields.set("grpc-message", kMessage);
  exchange.upstream_trailers = make_grpc_deadline_trailers(exchange);  // for plugins and logs that look there
  exchange.source = exchange::AnswerSource::kProxyError;
}

}  // namespace moongate::proxy
