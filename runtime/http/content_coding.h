// SPDX-License-Identifier: Apache-2.0
// Codes bodies for clients: gzip, brotli and zstd behind one interface, piece by piece, and a pool of coders
// with a bound on their memory. content_decoding.h is the way back. These two are all that sees the
// libraries; proxy/answer_coder.h decides when an answer is coded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/byte_queue.h"

namespace moongate::http {

enum class Coding : uint8_t { kIdentity, kGzip, kBrotli, kZstd, kDeflate };

/// The name in Content-Encoding.
std::string_view coding_name(Coding coding);
/// By its name in any case, `x-gzip` included; kIdentity for a name we do not know.
Coding find_coding(std::string_view name);

struct CodingOptions {
  Coding coding = Coding::kIdentity;
  int level = 0;
  int window_bits = 0;  // brotli 10 to 24, zstd 10 to 23; gzip always has 15
  int block_bits = 0;   // brotli: 16 to 24, or 0 for its own choice
  int mode = 0;         // brotli: 0 generic, 1 text, 2 font
  bool operator==(const CodingOptions&) const = default;
};

/// What plugins asked for on behalf of one answer.
struct CodingPlan {
  CodingOptions options;
  uint32_t length_min_bytes = 0;  // shorter answers go as they are
  uint32_t piece_max_bytes = 0;   // coded bytes that are gathered before they go out
  bool is_wanted() const { return options.coding != Coding::kIdentity; }
};

/// The most memory a coder with these options takes.
size_t coding_memory_bytes(const CodingOptions& options);
/// How much of a body is coded in one go, so that the others of the loop are not kept waiting: some
/// milliseconds' worth, less for levels that are slower.
size_t coding_turn_bytes(const CodingOptions& options);

/// Codes one body.
///
/// Shape:   a state of one of the libraries; reset() makes it ready for another body.
/// Owner:   an EncoderPool's client while a body lasts.
/// Fails:   encode() with false, after which only reset() or the end is left.
class Encoder {
 public:
  enum class Flush : uint8_t {
    kNone,   // as the coder likes
    kPiece,  // the reader can decode everything up to here
    kEnd,    // the body ends here
  };
  explicit Encoder(const CodingOptions& options) : options_(options) {}
  virtual ~Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  [[nodiscard]] virtual bool encode(std::string_view input, Flush flush, base::ByteQueue* out) = 0;
  /// Begins a new body. False when there is no memory for it.
  [[nodiscard]] virtual bool reset() = 0;
  /// What it takes now.
  virtual size_t memory_bytes() const = 0;
  const CodingOptions& options() const { return options_; }

 private:
  const CodingOptions options_;
};

/// The coders of one worker, used again.
///
/// Shape:   idle coders, the latest last; a coder is charged with coding_memory_bytes() as long as it lives.
/// Runs in: one worker's loop.
/// Fails:   checkout() with null when memory_max_bytes is spent.
class EncoderPool {
 public:
  void set_memory_max(size_t bytes) { memory_max_bytes_ = bytes; }
  std::unique_ptr<Encoder> checkout(const CodingOptions& options);
  void checkin(std::unique_ptr<Encoder> encoder);
  size_t memory_bytes() const { return memory_bytes_; }

  static constexpr size_t kIdleMax = 16;

 private:
  void drop_idle();

  std::vector<std::unique_ptr<Encoder>> idle_;
  size_t memory_max_bytes_ = size_t{128} << 20;
  size_t memory_bytes_ = 0;
};

}  // namespace moongate::http
