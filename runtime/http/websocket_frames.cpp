// SPDX-License-Identifier: Apache-2.0
#include "http/websocket_frames.h"

#include <algorithm>
#include <cstring>

namespace moongate::http {
namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kCompressed = 0x40;  // RSV1, as permessage-deflate uses it
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kMasked = 0x80;
constexpr uint64_t kControlMaxBytes = 125;
constexpr size_t kReasonMaxBytes = 123;

uint64_t read_number(const char* at, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; i++) number = number << 8 | static_cast<uint8_t>(at[i]);
  return number;
}

// How many bytes of length follow the first two.
size_t length_size(uint8_t second) {
  const int length = second & 0x7f;
  return length == 126 ? 2 : length == 127 ? 8 : 0;
}

}  // namespace

// As far as can be told: two bytes say how many there are.
size_t WebSocketFrames::header_size() const {
  if (header_filled_ < 2) return 2;
  const auto second = static_cast<uint8_t>(header_[1]);
  return 2 + length_size(second) + ((second & kMasked) != 0 ? 4 : 0);
}

WebSocketFrames::Step WebSocketFrames::feed(std::string_view piece) {
  Step step;
  if (fault_ != nullptr) {
    step.status = Status::kFault;
    return step;
  }
  if (piece.empty()) return step;
  if (payload_left_ > 0) {
    step.status = Status::kPayload;
    step.consumed = static_cast<size_t>(std::min<uint64_t>(payload_left_, piece.size()));
    step.bytes = piece.substr(0, step.consumed);
    payload_left_ -= step.consumed;
    return step;
  }
  while (step.consumed < piece.size()) {
    const size_t part = std::min(header_size() - header_filled_, piece.size() - step.consumed);
    std::memcpy(header_.data() + header_filled_, piece.data() + step.consumed, part);
    header_filled_ += part;
    step.consumed += part;
    if (header_filled_ < 2 || header_filled_ < header_size()) continue;
    step.status = take_header() ? Status::kHeader : Status::kFault;
    if (step.status == Status::kHeader) step.bytes = {header_.data(), header_filled_};
    header_filled_ = 0;
    return step;
  }
  return step;
}

size_t WebSocketFrames::skip_messages(std::string_view piece) const {
  if (payload_left_ > 0 || header_filled_ > 0 || is_in_message_ || fault_ != nullptr) return 0;
  const int ignored = options_.may_compress || options_.may_use_bits ? kCompressed : 0;
  const size_t mask_size = options_.is_client ? 4 : 0;
  size_t skipped = 0;
  while (piece.size() - skipped >= 4) {
    const auto* at = reinterpret_cast<const uint8_t*>(piece.data() + skipped);
    const int first = at[0] & ~ignored;
    if (first != (kFinal | 1) && first != (kFinal | 2)) break;
    if (((at[1] & kMasked) != 0) != options_.is_client) break;
    size_t size = at[1] & 0x7f;
    size_t head_size = 2 + mask_size;
    if (size == 126) {
      size = size_t{at[2]} << 8 | at[3];
      head_size += 2;
      if (size < 126) break;  // feed() says what is wrong with it
    } else if (size == 127) {
      break;
    }
    if (piece.size() - skipped < head_size + size) break;
    skipped += head_size + size;
  }
  return skipped;
}

bool WebSocketFrames::take_header() {
  const auto first = static_cast<uint8_t>(header_[0]);
  const auto second = static_cast<uint8_t>(header_[1]);
  const size_t extended = length_size(second);
  frame_ = {};
  frame_.opcode = first & 0x0f;
  frame_.is_final = (first & kFinal) != 0;
  frame_.size = extended == 0 ? second & 0x7f : read_number(header_.data() + 2, extended);
  fault_ = judge(first, (second & kMasked) != 0);
  if (fault_ != nullptr) return false;
  payload_left_ = frame_.size;
  if (frame_.is_control()) return true;
  message_size_ = frame_.begins_message() ? 0 : message_size_;
  message_size_ = frame_.size > UINT64_MAX - message_size_ ? UINT64_MAX : message_size_ + frame_.size;
  frame_.message_size = message_size_;
  is_in_message_ = !frame_.is_final;
  return true;
}

// What is wrong with the frame whose header is there, or null.
const char* WebSocketFrames::judge(uint8_t first, bool is_masked) const {
  const auto second = static_cast<uint8_t>(header_[1]);
  const uint8_t reserved = first & kReserved;
  const uint8_t allowed = options_.may_use_bits                              ? kReserved
                          : options_.may_compress && frame_.begins_message() ? kCompressed
                                                                             : 0;
  if ((reserved & ~allowed) != 0) return "a reserved bit that nothing was agreed on for";
  if (is_masked != options_.is_client)
    return options_.is_client ? "a frame that is not masked" : "a masked frame";
  if ((frame_.opcode > 2 && frame_.opcode < 8) || frame_.opcode > 10) return "an unknown opcode";
  if (frame_.is_control() && !frame_.is_final) return "a control frame in fragments";
  if (frame_.is_control() && frame_.size > kControlMaxBytes) return "a control frame of more than 125 bytes";
  if (frame_.is_close() && frame_.size == 1) return "a close frame of one byte";
  if (frame_.opcode == 0 && !is_in_message_) return "a continuation of no message";
  if (frame_.begins_message() && is_in_message_) return "a message within a message";
  const size_t extended = length_size(second);
  if (extended == 8 && frame_.size > INT64_MAX) return "a length of more than 63 bits";
  if ((extended == 2 && frame_.size < 126) || (extended == 8 && frame_.size <= 0xffff))
    return "a length that is not the shortest";
  return nullptr;
}

std::string format_websocket_close(uint16_t code, std::string_view reason, const std::array<char, 4>* mask) {
  reason = reason.substr(0, kReasonMaxBytes);
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  payload += reason;
  std::string frame = {static_cast<char>(kFinal | 8),
                       static_cast<char>(payload.size() | (mask != nullptr ? kMasked : 0))};
  if (mask == nullptr) return frame + payload;
  frame.append(mask->data(), mask->size());
  for (size_t i = 0; i < payload.size(); i++) frame.push_back(static_cast<char>(payload[i] ^ (*mask)[i % 4]));
  return frame;
}

}  // namespace moongate::http
