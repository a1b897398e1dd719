// SPDX-License-Identifier: Apache-2.0
// Follows the frames of a WebSocket (RFC 6455) as they pass, without changing or keeping them: only headers
// are looked at. What is done about a message that is too long or one too many is proxy/websocket_guard.h's
// business.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::http {

// Codes of RFC 6455 7.4.1, of those the gateway says.
constexpr uint16_t kWebSocketGoingAway = 1001;
constexpr uint16_t kWebSocketProtocolError = 1002;
constexpr uint16_t kWebSocketPolicyViolation = 1008;
constexpr uint16_t kWebSocketTooLarge = 1009;
constexpr uint16_t kWebSocketServerError = 1011;

/// A frame whose header has just been read.
struct WebSocketFrame {
  uint8_t opcode = 0;
  bool is_final = false;
  uint64_t size = 0;          // of its payload, as sent: a compressed one counts compressed
  uint64_t message_size = 0;  // of the message up to this frame's end; 0 for control frames

  bool is_control() const { return opcode >= 8; }
  bool is_close() const { return opcode == 8; }
  bool begins_message() const { return opcode == 1 || opcode == 2; }
};

/// Reads one direction of a connection.
///
/// Shape:   keeps an incomplete header, at most 13 bytes; a frame is passed on only when its header was found
/// good, so that what has been passed on always ends where it may be followed by another frame, or within a
/// payload. Fails:   kFault at a frame that breaks the protocol; there is no going on after that.
class WebSocketFrames {
 public:
  struct Options {
    bool is_client = true;      // whose frames these are; a client's are masked, a server's are not
    bool may_compress = false;  // permessage-deflate was agreed on: RSV1 on a message's first frame
    bool may_use_bits = false;  // all three reserved bits belong to extensions: nothing is said about them
  };
  enum class Status : uint8_t {
    kMore,     // everything was read
    kHeader,   // `bytes` is a header; frame() describes it
    kPayload,  // `bytes` is some of the payload
    kFault,    // fault() says why
  };
  struct Step {
    Status status = Status::kMore;
    size_t consumed = 0;     // of the piece
    std::string_view bytes;  // to be passed on; a header's are good until the next call
  };

  explicit WebSocketFrames(const Options& options) : options_(options) {}

  Step feed(std::string_view piece);
  /// How much of the piece is nothing but messages that are one whole frame each. For those who pass on what
  /// comes whatever it is: it counts as read, and costs a tenth of what feed() does; frame() knows nothing
  /// of it.
  size_t skip_messages(std::string_view piece) const;
  const WebSocketFrame& frame() const { return frame_; }
  /// True where another frame may follow what has been passed on.
  bool is_between_frames() const { return payload_left_ == 0; }
  /// Part of a header has been read, and nothing of it was given to be passed on.
  bool is_within_header() const { return header_filled_ > 0; }
  const char* fault() const { return fault_; }

 private:
  static constexpr size_t kHeaderMaxBytes = 14;
  size_t header_size() const;
  bool take_header();
  const char* judge(uint8_t first, bool is_masked) const;

  Options options_;
  std::array<char, kHeaderMaxBytes> header_{};
  size_t header_filled_ = 0;
  uint64_t payload_left_ = 0;
  bool is_in_message_ = false;  // a message has begun and its last frame has not come
  uint64_t message_size_ = 0;
  WebSocketFrame frame_;
  const char* fault_ = nullptr;
};

/// A close frame with its reason, at most 123 bytes of it. `mask` as clients send it; null for a server's.
std::string format_websocket_close(uint16_t code, std::string_view reason, const std::array<char, 4>* mask);

}  // namespace moongate::http
