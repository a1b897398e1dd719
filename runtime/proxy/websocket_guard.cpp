// SPDX-License-Identifier: Apache-2.0
#include "proxy/websocket_guard.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/random.h"
#include "http/chars.h"

namespace moongate::proxy {

using http::WebSocketFrame;
using http::WebSocketFrames;
using Status = WebSocketFrames::Status;

namespace {

bool is_websocket(const exchange::Exchange& exchange) {
  if (exchange.request.is_extended_connect) return true;
  const http::Field* protocol = exchange.response.fields.find(http::FieldId::kUpgrade);
  return protocol && http::equals_ignoring_case(protocol->value, "websocket") &&
         exchange.response.fields.find("Sec-WebSocket-Accept");
}

// What was agreed on says who may use which reserved bit. Of extensions other than permessage-deflate nothing
// is known.
void allow_extensions(const exchange::Exchange& exchange, WebSocketFrames::Options* options) {
  for (const http::Field& field : exchange.response.fields) {
    if (!http::equals_ignoring_case(field.name, "Sec-WebSocket-Extensions")) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::string_view item = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(item.size() + 1, rest.size()));
      const std::string_view name = http::trim_blanks(item.substr(0, item.find(';')));
      if (http::equals_ignoring_case(name, "permessage-deflate"))
        options->may_compress = true;
      else if (!name.empty())
        options->may_use_bits = true;
    }
  }
}

// Follows what passes as it is. What is found wrong is nobody's business here: there is no telling where its
// frames end any more.
void follow(std::string_view bytes, WebSocketFrames& frames, bool* has_closed) {
  while (!bytes.empty()) {
    bytes.remove_prefix(frames.skip_messages(bytes));
    const auto step = frames.feed(bytes);
    if (step.status == Status::kFault) return;
    *has_closed |= step.status == Status::kHeader && frames.frame().is_close();
    bytes.remove_prefix(step.consumed);
  }
}

}  // namespace

std::unique_ptr<WebSocketGuard> WebSocketGuard::make(const exchange::Exchange& exchange) {
  if (!exchange.websocket.is_limited() && !is_websocket(exchange)) return nullptr;
  WebSocketFrames::Options client;
  allow_extensions(exchange, &client);
  WebSocketFrames::Options upstream = client;
  upstream.is_client = false;
  return std::unique_ptr<WebSocketGuard>(new WebSocketGuard(exchange, client, upstream));
}

WebSocketGuard::WebSocketGuard(const exchange::Exchange& exchange, const WebSocketFrames::Options& client,
                               const WebSocketFrames::Options& upstream)
    : limits_(exchange.websocket),
      is_limited_(limits_.is_limited()),
      who_(is_limited_ ? std::string(exchange.remote_address) + " on route " +
                             (exchange.route ? std::string(exchange.route->id) : "")
                       : ""),
      from_client_(client),
      from_upstream_(upstream),
      allowance_(limits_.burst),
      counted_at_(base::Clock::steady()) {}

bool WebSocketGuard::take_message() {
  if (limits_.messages_per_second <= 0) return true;
  const base::SteadyTime now = base::Clock::steady();
  const double seconds = std::chrono::duration<double>(now - counted_at_).count();
  allowance_ = std::min(limits_.burst, allowance_ + std::max(0.0, seconds) * limits_.messages_per_second);
  counted_at_ = now;
  if (allowance_ < 1) return false;
  allowance_ -= 1;
  return true;
}

// Pings count as messages, and so do the smallest pieces of one: they cost the upstream as much.
bool WebSocketGuard::admit(const WebSocketFrame& frame) {
  constexpr uint64_t kSmallPieceBytes = 64;
  const bool is_small_piece = frame.opcode == 0 && frame.size < kSmallPieceBytes && !frame.is_final;
  const bool is_counted =
      frame.begins_message() || is_small_piece || (frame.is_control() && !frame.is_close());
  if (is_counted && !take_message()) {
    close(http::kWebSocketPolicyViolation, "too many messages");
    return false;
  }
  if (limits_.message_size_max_bytes > 0 && frame.message_size > limits_.message_size_max_bytes) {
    close(http::kWebSocketTooLarge,
          "message larger than " + std::to_string(limits_.message_size_max_bytes) + " bytes");
    return false;
  }
  return true;
}

void WebSocketGuard::close(uint16_t code, std::string reason) {
  close_code_ = code;
  close_reason_ = std::move(reason);
  MG_LOG(kWarn) << "websocket of " << who_ << " closed with " << close_code_ << ": " << close_reason_;
}

// What has passed ends between two frames, or nothing would have been found wrong.
void WebSocketGuard::tell_upstream(base::ByteQueue& to_upstream) {
  std::array<char, 4> mask{};
  MG_ASSERT(base::fill_random(mask.data(), mask.size()));
  to_upstream.append(http::format_websocket_close(http::kWebSocketGoingAway, "", &mask));
}

void WebSocketGuard::pass_client(std::string_view bytes, base::ByteQueue& to_upstream) {
  if (!is_limited_ && !is_closing()) {
    follow(bytes, from_client_, &has_client_closed_);
    return to_upstream.append(bytes);
  }
  while (!is_closing() && !has_client_closed_) {
    const auto step = from_client_.feed(bytes);
    bytes.remove_prefix(step.consumed);
    if (step.status == Status::kMore) return;
    if (step.status == Status::kFault) close(http::kWebSocketProtocolError, from_client_.fault());
    if (step.status == Status::kFault || (step.status == Status::kHeader && !admit(from_client_.frame())))
      return tell_upstream(to_upstream);
    to_upstream.append(step.bytes);
    has_client_closed_ = from_client_.frame().is_close() && from_client_.is_between_frames();
  }
}

void WebSocketGuard::tell_client(base::ByteQueue& to_client) {
  has_told_client_ = true;
  if (!has_upstream_closed_)
    to_client.append(http::format_websocket_close(close_code_, close_reason_, nullptr));
}

bool WebSocketGuard::follow_upstream(std::string_view bytes) {
  if (is_limited_ || is_closing()) return false;
  follow(bytes, from_upstream_, &has_upstream_closed_);
  return true;
}

void WebSocketGuard::pass_upstream(std::string_view bytes, base::ByteQueue& to_client) {
  if (follow_upstream(bytes)) return to_client.append(bytes);
  while (!has_told_client_) {
    if (is_closing() && (has_upstream_ended_ || has_upstream_closed_) && from_upstream_.is_between_frames())
      return tell_client(to_client);
    const auto step = from_upstream_.feed(bytes);
    bytes.remove_prefix(step.consumed);
    if (step.status == Status::kMore) return;
    if (step.status == Status::kFault) {
      // A second fault: the client is to learn of its own.
      if (!is_closing())
        close(http::kWebSocketServerError, std::string("the upstream sent ") + from_upstream_.fault());
      return tell_client(to_client);
    }
    const bool is_close = step.status == Status::kHeader && from_upstream_.frame().is_close();
    if (is_close && is_closing())
      return tell_client(to_client);  // it answers ours; the client's reason is another
    to_client.append(step.bytes);
    has_upstream_closed_ |= is_close;
  }
}

// With limits a header passes when it is whole, and what is found wrong does not.
bool WebSocketGuard::is_between_frames(const WebSocketFrames& frames) const {
  if (!frames.is_between_frames()) return false;
  return is_limited_ || (!frames.is_within_header() && frames.fault() == nullptr);
}

WebSocketGuard::Told WebSocketGuard::dismiss(uint16_t code, std::string_view reason,
                                             base::ByteQueue& to_client, base::ByteQueue& to_upstream) {
  const Told told{.is_client = is_between_frames(from_upstream_),
                  .is_upstream = is_between_frames(from_client_)};
  close_code_ = code;
  close_reason_ = reason;
  if (told.is_client) tell_client(to_client);
  if (told.is_upstream && !has_client_closed_) tell_upstream(to_upstream);
  has_told_client_ = true;
  return told;
}

void WebSocketGuard::end_upstream(base::ByteQueue& to_client) {
  has_upstream_ended_ = true;
  pass_upstream({}, to_client);
}

}  // namespace moongate::proxy
