// SPDX-License-Identifier: Apache-2.0
#include "http/content_decoding.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace moongate::http {

namespace {

using base::Error;
using base::ErrorKind;
using base::Side;

/// Where plain bytes go, up to a limit.
class Sink {
 public:
  Sink(Coding coding, size_t coded_bytes, const DecodingLimits& limits) : coding_(coding) {
    size_t by_ratio = std::max(coded_bytes * limits.ratio_max, limits.size_always_bytes);
    is_ratio_ = by_ratio < limits.size_max_bytes;
    room_bytes_ = std::min(by_ratio, limits.size_max_bytes);
    ratio_max_ = limits.ratio_max;
  }

  static constexpr size_t kStepBytes = size_t{32} * 1024;
  uint8_t* step() { return step_; }
  /// Takes what was written to step(). False when that is more than may be.
  bool take(size_t size) {
    if (plain_.size() + size > room_bytes_) return false;
    plain_.append(reinterpret_cast<const char*>(step_), size);
    return true;
  }
  base::Result<std::string> finish() { return std::move(plain_); }
  Error too_large() const {
    std::string detail = "the body, decoded from " + std::string(coding_name(coding_)) + ", is larger than ";
    detail += is_ratio_ ? std::to_string(ratio_max_) + " times what was sent"
                        : std::to_string(room_bytes_) + " bytes";
    return {ErrorKind::kLimit, Side::kUpstream, false, std::move(detail)};
  }
  Error broken(const char* what) const {
    return {ErrorKind::kInvalid, Side::kUpstream, false,
            "the body is no valid " + std::string(coding_name(coding_)) + ": " + what};
  }

 private:
  Coding coding_;
  bool is_ratio_;
  size_t room_bytes_;
  size_t ratio_max_;
  std::string plain_;
  uint8_t step_[kStepBytes];
};

constexpr const char* kCutShort = "it ends too early";
constexpr const char* kSurplus = "something follows its end";

// RFC 9110 means zlib's format by `deflate`; some servers send bare deflate data. A zlib header gives itself
// away.
int window_bits_of(Coding coding, std::string_view coded) {
  constexpr int kWindowBits = 15;
  if (coding == Coding::kGzip) return kWindowBits + 16;
  if (coded.size() < 2) return kWindowBits;
  unsigned first = static_cast<uint8_t>(coded[0]);
  unsigned second = static_cast<uint8_t>(coded[1]);
  bool is_zlib = (first & 0x0f) == Z_DEFLATED && (first << 8 | second) % 31 == 0;
  return is_zlib ? kWindowBits : -kWindowBits;
}

struct Inflater {
  z_stream stream{};
  explicit Inflater(int window_bits) { is_begun = inflateInit2(&stream, window_bits) == Z_OK; }
  ~Inflater() {
    if (is_begun) inflateEnd(&stream);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  bool is_begun = false;
};

base::Result<std::string> inflate_all(Coding coding, std::string_view coded, Sink& sink) {
  Inflater inflater(window_bits_of(coding, coded));
  if (!inflater.is_begun) return sink.broken("no memory is left to read it");
  z_stream& stream = inflater.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  while (true) {
    stream.next_out = sink.step();
    stream.avail_out = Sink::kStepBytes;
    int status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      return sink.broken(stream.msg ? stream.msg : "its dictionary is missing");
    if (!sink.take(Sink::kStepBytes - stream.avail_out)) return sink.too_large();
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return sink.finish();
      // A gzip file may have several members, one behind the other.
      if (coding != Coding::kGzip || inflateReset(&stream) != Z_OK) return sink.broken(kSurplus);
    } else if (stream.avail_in == 0 && stream.avail_out > 0) {
      return sink.broken(kCutShort);
    }
  }
}

base::Result<std::string> decode_brotli(std::string_view coded, Sink& sink) {
  using State = std::unique_ptr<BrotliDecoderState, decltype(&BrotliDecoderDestroyInstance)>;
  State state(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr), BrotliDecoderDestroyInstance);
  if (!state) return sink.broken("no memory is left to read it");
  const auto* at = reinterpret_cast<const uint8_t*>(coded.data());
  size_t left = coded.size();
  while (true) {
    uint8_t* out = sink.step();
    size_t room = Sink::kStepBytes;
    auto status = BrotliDecoderDecompressStream(state.get(), &left, &at, &room, &out, nullptr);
    if (status == BROTLI_DECODER_RESULT_ERROR)
      return sink.broken(BrotliDecoderErrorString(BrotliDecoderGetErrorCode(state.get())));
    if (!sink.take(Sink::kStepBytes - room)) return sink.too_large();
    if (status == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT) return sink.broken(kCutShort);
    if (status != BROTLI_DECODER_RESULT_SUCCESS) continue;
    if (left > 0) return sink.broken(kSurplus);
    return sink.finish();
  }
}

base::Result<std::string> decode_zstd(std::string_view coded, Sink& sink) {
  constexpr int kWindowBitsMax = 23;  // RFC 8878: what every decoder should take
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context || ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowBitsMax)))
    return sink.broken("no memory is left to read it");
  ZSTD_inBuffer from{coded.data(), coded.size(), 0};
  while (true) {
    ZSTD_outBuffer to{sink.step(), Sink::kStepBytes, 0};
    size_t left = ZSTD_decompressStream(context.get(), &to, &from);
    if (ZSTD_isError(left)) return sink.broken(ZSTD_getErrorName(left));
    if (!sink.take(to.pos)) return sink.too_large();
    if (from.pos < from.size) continue;
    if (left == 0) return sink.finish();  // asked again, it would wait for another frame
    if (to.pos < to.size) return sink.broken(kCutShort);
  }
}

}  // namespace

base::Result<std::string> decode_content(Coding coding, std::string_view coded,
                                         const DecodingLimits& limits) {
  if (coding == Coding::kIdentity) return std::string(coded);
  Sink sink(coding, coded.size(), limits);
  if (coded.empty()) return sink.broken(kCutShort);
  switch (coding) {
    case Coding::kBrotli:
      return decode_brotli(coded, sink);
    case Coding::kZstd:
      return decode_zstd(coded, sink);
    default:
      return inflate_all(coding, coded, sink);
  }
}

}  // namespace moongate::http
