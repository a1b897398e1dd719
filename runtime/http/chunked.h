// SPDX-License-Identifier: Apache-2.0
// Chunked transfer coding: a decoder that takes bytes as they come, and the framing of what is sent. Both
// ends count bytes only; nothing is buffered except the trailer section, which has a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::http {

/// Decodes a chunked body incrementally.
///
/// Shape:   feed() consumes input and hands back the payload as views into that input, one piece per call.
/// Fails:   kBad on anything but exact RFC 9112 chunked syntax with CRLF line ends: bare LF, white space
/// around the
///          size, sizes above 2^53, chunk extensions longer than 1 KB in total, trailers beyond
///          `trailer_max_bytes`.
class ChunkedDecoder {
 public:
  enum class Status : uint8_t { kMore, kData, kDone, kBad };
  struct Step {
    Status status;
    size_t consumed;        // bytes of the input that are dealt with
    std::string_view data;  // payload when kData: a view into the input, within what was consumed
  };

  explicit ChunkedDecoder(size_t trailer_max_bytes = 8 * 1024) : trailer_max_bytes_(trailer_max_bytes) {}

  /// Call again with the rest until kMore (all consumed, feed later), kDone (bytes after `consumed` belong to
  /// the next message) or kBad.
  Step feed(std::string_view input);
  /// After kDone: the raw trailer lines, each `name: value\r\n`, already checked as fields; usually empty.
  /// Fields that must not be trailers (framing, routing, authentication: RFC 9110 6.5.1) are left out.
  const std::string& trailers() const { return trailers_; }
  void reset();

 private:
  enum class State : uint8_t { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kDone, kBad };
  enum class Extension : uint8_t {
    kBeforeName,
    kName,
    kBeforeValue,
    kValue,
    kQuoted,
    kQuotedPair,
    kAfterQuoted
  };

  State next_state(char c);
  State take_size(char c);
  State take_extension(char c);
  State take_extension_byte();
  State take_trailer(char c);
  bool finish_trailer_line();

  State state_ = State::kSize;
  Extension extension_ = Extension::kBeforeName;
  uint8_t size_digits_ = 0;
  uint64_t left_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  size_t trailer_max_bytes_;
  std::string trailers_;
  std::string trailer_line_;
};

/// False for fields that decide on framing, routing or authentication, or on how the content is read.
bool may_be_trailer(std::string_view name);

/// Writes the line that opens a chunk of `size` payload bytes into `out` (at least 20 bytes); its length. The
/// payload and "\r\n" follow.
size_t write_chunk_open(uint64_t size, char* out);
inline constexpr std::string_view kChunkClose = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace moongate::http
