// SPDX-License-Identifier: Apache-2.0
#include "http/websocket_frames.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace moongate::http;

namespace {

using Status = WebSocketFrames::Status;

constexpr int kFinal = 0x80;

/// A client's frame, masked with zeros, with `size` bytes of payload.
std::string frame(int first, size_t size, bool is_masked = true) {
  const int mask = is_masked ? 0x80 : 0;
  std::string text(1, static_cast<char>(first));
  if (size < 126) {
    text += static_cast<char>(size | mask);
  } else if (size <= 0xffff) {
    text += static_cast<char>(126 | mask);
    text += {static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
  } else {
    text += static_cast<char>(127 | mask);
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(size >> shift & 0xff);
  }
  if (is_masked) text += std::string(4, '\0');
  return text + std::string(size, 'p');
}

struct Outcome {
  std::string passed;
  std::string events;  // "opcode:size/message size" of each frame
  std::string fault;
  bool operator==(const Outcome&) const = default;
};

void feed(WebSocketFrames& frames, std::string_view piece, Outcome& outcome) {
  while (outcome.fault.empty()) {
    const auto step = frames.feed(piece);
    outcome.passed += step.bytes;
    piece.remove_prefix(step.consumed);
    if (step.status == Status::kMore) return;
    if (step.status == Status::kFault) outcome.fault = frames.fault();
    if (step.status != Status::kHeader) continue;
    const WebSocketFrame& at = frames.frame();
    outcome.events += std::to_string(at.opcode) + ":" + std::to_string(at.size) + "/" +
                      std::to_string(at.message_size) + " ";
  }
}

Outcome read(const std::string& input, WebSocketFrames::Options options = {}) {
  WebSocketFrames frames(options);
  Outcome outcome;
  feed(frames, input, outcome);
  return outcome;
}

std::string fault_of(const std::string& input, WebSocketFrames::Options options = {}) {
  return read(input, options).fault;
}

}  // namespace

TEST_CASE("every byte is passed on, and frames add up to messages, wherever the bytes are cut") {
  const std::string input = frame(0x01, 3) + frame(kFinal | 9, 2) + frame(0x00, 200) + frame(kFinal, 0) +
                            frame(kFinal | 2, 70000) + frame(kFinal | 8, 2);
  const Outcome whole = read(input);
  CHECK(whole.passed == input);
  CHECK(whole.events == "1:3/3 9:2/0 0:200/203 0:0/203 2:70000/70000 8:2/0 ");
  for (size_t cut = 0; cut <= 300; cut++) {
    WebSocketFrames frames({});
    Outcome outcome;
    feed(frames, std::string_view(input).substr(0, cut), outcome);
    feed(frames, std::string_view(input).substr(cut), outcome);
    CHECK(outcome == whole);
  }
  WebSocketFrames frames({});
  Outcome outcome;
  for (char byte : input) feed(frames, {&byte, 1}, outcome);
  CHECK(outcome == whole);
}

TEST_CASE("what has been passed on ends between frames until a payload begins") {
  WebSocketFrames frames({});
  Outcome outcome;
  const std::string input = frame(kFinal | 2, 70000);
  feed(frames, std::string_view(input).substr(0, 13), outcome);
  CHECK(outcome.passed.empty());
  CHECK(frames.is_between_frames());
  feed(frames, std::string_view(input).substr(13, 2), outcome);
  CHECK(outcome.passed.size() == 15);
  CHECK_FALSE(frames.is_between_frames());
  feed(frames, std::string_view(input).substr(15), outcome);
  CHECK(frames.is_between_frames());
}

TEST_CASE("messages of one frame are skipped as they would be read, and nothing else is") {
  const std::string plain = frame(kFinal | 1, 5) + frame(kFinal | 2, 125) + frame(kFinal | 1, 126) +
                            frame(kFinal | 2, 60000) + frame(kFinal | 1, 0);
  WebSocketFrames frames({});
  CHECK(frames.skip_messages(plain) == plain.size());
  CHECK(frames.skip_messages(plain + plain.substr(0, 10)) == plain.size());
  for (size_t cut = 1; cut <= 3; cut++)
    CHECK(frames.skip_messages(frame(kFinal | 1, 5) + plain.substr(0, cut)) == frame(kFinal | 1, 5).size());
  for (const std::string& other :
       {frame(kFinal | 8, 2), frame(kFinal | 9, 2), frame(1, 5), frame(kFinal, 5), frame(kFinal | 3, 5),
        frame(kFinal | 1, 5, false), frame(kFinal | 2, 70000), frame(kFinal | 0x41, 5),
        std::string("\x82\xfe\x00\x7d", 4) + std::string(4 + 125, '\0')})
    CHECK(frames.skip_messages(plain + other + plain) == plain.size());
  WebSocketFrames::Options server;
  server.is_client = false;
  server.may_compress = true;
  const std::string compressed = frame(kFinal | 0x41, 5, false) + frame(kFinal | 2, 300, false);
  CHECK(WebSocketFrames(server).skip_messages(compressed) == compressed.size());
}

TEST_CASE("nothing is skipped within a frame, a header or a message, nor behind a fault") {
  const std::string message = frame(kFinal | 1, 5);
  for (const std::string& begun : {frame(kFinal | 2, 9).substr(0, 8), message.substr(0, 1), frame(1, 5)}) {
    WebSocketFrames frames({});
    Outcome outcome;
    feed(frames, begun, outcome);
    CHECK(frames.skip_messages(message) == 0);
  }
  WebSocketFrames frames({});
  Outcome outcome;
  feed(frames, frame(kFinal | 3, 0), outcome);
  CHECK(frames.skip_messages(message) == 0);
}

TEST_CASE("frames that break the protocol are faults, and nothing of them is passed on") {
  CHECK(fault_of(frame(kFinal | 1, 1, false)) == "a frame that is not masked");
  for (int bit : {0x40, 0x20, 0x10})
    CHECK(fault_of(frame(kFinal | bit | 1, 1)).find("reserved bit") != std::string::npos);
  for (int opcode : {3, 7, 11, 15}) CHECK(fault_of(frame(kFinal | opcode, 1)) == "an unknown opcode");
  CHECK(fault_of(frame(9, 1)) == "a control frame in fragments");
  CHECK(fault_of(frame(kFinal | 9, 126)) == "a control frame of more than 125 bytes");
  CHECK(fault_of(frame(kFinal | 8, 1)) == "a close frame of one byte");
  CHECK(fault_of(frame(kFinal, 1)) == "a continuation of no message");
  CHECK(fault_of(frame(1, 1) + frame(kFinal | 1, 1)) == "a message within a message");
  CHECK(fault_of(frame(kFinal | 1, 1) + frame(kFinal, 1)) == "a continuation of no message");
  CHECK(fault_of(std::string("\x82\xfe\x00\x7d\0\0\0\0", 8)) == "a length that is not the shortest");
  CHECK(fault_of(std::string("\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 14)) ==
        "a length that is not the shortest");
  CHECK(fault_of(std::string("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14)) == "a length of more than 63 bits");
  CHECK(read(frame(kFinal | 1, 5) + frame(kFinal | 3, 5)).passed == frame(kFinal | 1, 5));
}

TEST_CASE("a fault is the end, whatever follows") {
  WebSocketFrames frames({});
  Outcome outcome;
  feed(frames, frame(kFinal | 3, 0), outcome);
  const auto step = frames.feed(frame(kFinal | 1, 0));
  CHECK(step.status == Status::kFault);
  CHECK(step.bytes.empty());
}

TEST_CASE("a server's frames are not masked") {
  WebSocketFrames::Options server;
  server.is_client = false;
  CHECK(read(frame(kFinal | 1, 5, false), server).passed == frame(kFinal | 1, 5, false));
  CHECK(fault_of(frame(kFinal | 1, 5), server) == "a masked frame");
}

TEST_CASE("compressed messages are marked in their first frame, where that was agreed on") {
  WebSocketFrames::Options options;
  options.may_compress = true;
  CHECK(fault_of(frame(0x41, 1) + frame(kFinal, 1), options).empty());
  CHECK(fault_of(frame(1, 1) + frame(kFinal | 0x40, 1), options).find("reserved bit") != std::string::npos);
  CHECK(fault_of(frame(kFinal | 0x49, 1), options).find("reserved bit") != std::string::npos);
  CHECK(fault_of(frame(kFinal | 0x21, 1), options).find("reserved bit") != std::string::npos);
  options.may_use_bits = true;
  CHECK(fault_of(frame(kFinal | 0x71, 1), options).empty());
}

TEST_CASE("the size of a message does not wrap around") {
  const std::string half("\x7f\xff\xff\xff\xff\xff\xff\xff", 8);
  WebSocketFrames frames({});
  Outcome outcome;
  feed(frames, "\x02\xff" + half + std::string(4, '\0'), outcome);
  CHECK(outcome.events == "2:9223372036854775807/9223372036854775807 ");
  CHECK(outcome.fault.empty());
}

TEST_CASE("close frames carry a code and a reason, masked for a server") {
  CHECK(format_websocket_close(1009, "too large", nullptr) == "\x88\x0b\x03\xf1too large");
  const std::array<char, 4> mask = {1, 2, 3, 4};
  CHECK(format_websocket_close(1001, "", &mask) == std::string("\x88\x82\x01\x02\x03\x04\x02\xeb", 8));
  const std::string longest = format_websocket_close(1008, std::string(500, 'x'), nullptr);
  CHECK(read(format_websocket_close(1008, std::string(500, 'x'), &mask)).events == "8:125/0 ");
  CHECK(longest.size() == 127);
}
