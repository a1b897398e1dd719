// SPDX-License-Identifier: Apache-2.0
// The chunked coding, one byte of syntax at a time and payload in whole pieces. The grammar of extensions is
// checked although nothing is done with them: what a lenient reader skips is where two readers come to
// disagree.
#include "http/chunked.h"

#include <algorithm>
#include <array>

#include "http/chars.h"
#include "http/fields.h"
#include "http/head.h"

namespace moongate::http {
namespace {

constexpr uint8_t kSizeDigitsMax = 16;
constexpr uint64_t kChunkSizeMax = uint64_t{1} << 53;
constexpr size_t kExtensionMaxBytes = 1024;

// Fields that decide on framing, routing, authentication or how the content is read: they come too late in a
// trailer to be believed (RFC 9110 6.5.1).
constexpr std::array<std::string_view, 42> kNeverTrailers = {"age",
                                                             "authorization",
                                                             "cache-control",
                                                             "connection",
                                                             "content-encoding",
                                                             "content-length",
                                                             "content-range",
                                                             "content-type",
                                                             "cookie",
                                                             "date",
                                                             "expect",
                                                             "expires",
                                                             "forwarded",
                                                             "host",
                                                             "if-match",
                                                             "if-modified-since",
                                                             "if-none-match",
                                                             "if-range",
                                                             "if-unmodified-since",
                                                             "keep-alive",
                                                             "location",
                                                             "max-forwards",
                                                             "pragma",
                                                             "proxy-authenticate",
                                                             "proxy-authorization",
                                                             "proxy-connection",
                                                             "range",
                                                             "retry-after",
                                                             "set-cookie",
                                                             "te",
                                                             "trailer",
                                                             "transfer-encoding",
                                                             "upgrade",
                                                             "vary",
                                                             "via",
                                                             "warning",
                                                             "www-authenticate",
                                                             "x-forwarded-for",
                                                             "x-forwarded-host",
                                                             "x-forwarded-port",
                                                             "x-forwarded-proto",
                                                             "x-real-ip"};

// '_' counts as '-', since what runs behind us may fold the two.
bool names_match(std::string_view name, std::string_view known) {
  if (name.size() != known.size()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i] == '_' ? '-' : to_lower(name[i]);
    if (c != known[i]) return false;
  }
  return true;
}

}  // namespace

bool may_be_trailer(std::string_view name) {
  return std::none_of(kNeverTrailers.begin(), kNeverTrailers.end(),
                      [name](std::string_view known) { return names_match(name, known); });
}

ChunkedDecoder::Step ChunkedDecoder::feed(std::string_view input) {
  size_t at = 0;
  while (state_ != State::kDone && state_ != State::kBad && at < input.size()) {
    if (state_ == State::kData) {
      const auto size = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - at));
      left_ -= size;
      if (left_ == 0) state_ = State::kDataCr;
      return {Status::kData, at + size, input.substr(at, size)};
    }
    state_ = next_state(input[at]);
    ++at;
  }
  if (state_ == State::kDone) return {Status::kDone, at, {}};
  if (state_ == State::kBad) return {Status::kBad, at, {}};
  return {Status::kMore, at, {}};
}

ChunkedDecoder::State ChunkedDecoder::next_state(char c) {
  switch (state_) {
    case State::kSize:
      return take_size(c);
    case State::kExtension:
      return take_extension(c);
    case State::kSizeLf:
      if (c != '\n') return State::kBad;
      return left_ == 0 ? State::kTrailer : State::kData;
    case State::kDataCr:
      return c == '\r' ? State::kDataLf : State::kBad;
    case State::kDataLf:
      size_digits_ = 0;
      return c == '\n' ? State::kSize : State::kBad;
    case State::kTrailer:
      return take_trailer(c);
    case State::kData:
    case State::kDone:
    case State::kBad:
      break;
  }
  return State::kBad;
}

ChunkedDecoder::State ChunkedDecoder::take_size(char c) {
  const int digit = hex_value(c);
  if (digit >= 0) {
    left_ = left_ * 16 + static_cast<uint64_t>(digit);
    return ++size_digits_ <= kSizeDigitsMax && left_ <= kChunkSizeMax ? State::kSize : State::kBad;
  }
  if (size_digits_ == 0) return State::kBad;
  if (c == '\r') return State::kSizeLf;
  if (c != ';') return State::kBad;
  extension_ = Extension::kBeforeName;
  return take_extension_byte();
}

ChunkedDecoder::State ChunkedDecoder::take_extension_byte() {
  return ++extension_bytes_ <= kExtensionMaxBytes ? State::kExtension : State::kBad;
}

// *( ";" name [ "=" ( token / quoted-string ) ] ), with white space allowed after the semicolon only.
ChunkedDecoder::State ChunkedDecoder::take_extension(char c) {
  const bool is_token_char = has_flag(c, kToken);
  bool may_end = false;
  switch (extension_) {
    case Extension::kBeforeName:
      if (!is_blank(c) && !is_token_char) return State::kBad;
      if (is_token_char) extension_ = Extension::kName;
      return take_extension_byte();
    case Extension::kName:
      if (c == '=') extension_ = Extension::kBeforeValue;
      if (c == '=' || is_token_char) return take_extension_byte();
      may_end = true;
      break;
    case Extension::kBeforeValue:
      if (c != '"' && !is_token_char) return State::kBad;
      extension_ = c == '"' ? Extension::kQuoted : Extension::kValue;
      return take_extension_byte();
    case Extension::kValue:
      if (is_token_char) return take_extension_byte();
      may_end = true;
      break;
    case Extension::kQuoted:
    case Extension::kQuotedPair:
      if (has_flag(c, kControl)) return State::kBad;
      if (extension_ == Extension::kQuotedPair) {
        extension_ = Extension::kQuoted;
      } else if (c == '\\') {
        extension_ = Extension::kQuotedPair;
      } else if (c == '"') {
        extension_ = Extension::kAfterQuoted;
      }
      return take_extension_byte();
    case Extension::kAfterQuoted:
      may_end = true;
      break;
  }
  if (may_end && c == '\r') return State::kSizeLf;
  if (!may_end || c != ';') return State::kBad;
  extension_ = Extension::kBeforeName;
  return take_extension_byte();
}

ChunkedDecoder::State ChunkedDecoder::take_trailer(char c) {
  if (++trailer_bytes_ > trailer_max_bytes_ + 2) return State::kBad;  // the empty line is not counted
  trailer_line_.push_back(c);
  if (c != '\n') return State::kTrailer;
  if (trailer_line_ == "\r\n") return State::kDone;
  if (!finish_trailer_line()) return State::kBad;
  trailer_line_.clear();
  return State::kTrailer;
}

bool ChunkedDecoder::finish_trailer_line() {
  const std::string_view line = trailer_line_;
  if (line.size() < 2 || line[line.size() - 2] != '\r') return false;
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim_blanks(line.substr(colon + 1, line.size() - colon - 3));
  if (!is_field_name(name) || !is_field_value(value)) return false;
  if (!may_be_trailer(name)) return true;
  trailers_.append(name).append(": ").append(value).append("\r\n");
  return true;
}

void ChunkedDecoder::reset() {
  state_ = State::kSize;
  extension_ = Extension::kBeforeName;
  size_digits_ = 0;
  left_ = 0;
  extension_bytes_ = 0;
  trailer_bytes_ = 0;
  trailers_.clear();
  trailer_line_.clear();
}

size_t write_chunk_open(uint64_t size, char* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  char reversed[16];
  size_t count = 0;
  do {
    reversed[count++] = kDigits[size & 15];
    size >>= 4;
  } while (size != 0);
  for (size_t i = 0; i < count; ++i) out[i] = reversed[count - 1 - i];
  out[count] = '\r';
  out[count + 1] = '\n';
  return count + 2;
}

}  // namespace moongate::http
