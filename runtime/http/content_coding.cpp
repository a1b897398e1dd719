// SPDX-License-Identifier: Apache-2.0
#include "http/content_coding.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "http/fields.h"

namespace moongate::http {

namespace {

constexpr std::array<std::string_view, 5> kNames{"identity", "gzip", "br", "zstd", "deflate"};
constexpr size_t kKilobyte = 1024;
constexpr size_t kMegabyte = kKilobyte * kKilobyte;

// Coded bytes land here first; nobody uses it beyond one call.
struct Scratch {
  uint8_t bytes[32 * kKilobyte];
  static Scratch& get() {
    static thread_local Scratch scratch;
    return scratch;
  }
};

void append(base::ByteQueue* out, const uint8_t* bytes, size_t size) {
  out->append({reinterpret_cast<const char*>(bytes), size});
}

class GzipEncoder final : public Encoder {
 public:
  using Encoder::Encoder;
  ~GzipEncoder() override {
    if (is_begun_) deflateEnd(&stream_);
  }

  bool reset() override {
    if (is_begun_) return deflateReset(&stream_) == Z_OK;
    constexpr int kGzipWindowBits = 15 + 16;
    constexpr int kMemoryLevel = 8;
    stream_.zalloc = allocate;
    stream_.zfree = release;
    stream_.opaque = this;
    is_begun_ = deflateInit2(&stream_, options().level, Z_DEFLATED, kGzipWindowBits, kMemoryLevel,
                             Z_DEFAULT_STRATEGY) == Z_OK;
    return is_begun_;
  }

  bool encode(std::string_view input, Flush flush, base::ByteQueue* out) override {
    Scratch& scratch = Scratch::get();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    int mode = flush == Flush::kEnd ? Z_FINISH : flush == Flush::kPiece ? Z_SYNC_FLUSH : Z_NO_FLUSH;
    do {
      stream_.next_out = scratch.bytes;
      stream_.avail_out = sizeof scratch.bytes;
      int status = deflate(&stream_, mode);
      if (status == Z_STREAM_ERROR) return false;
      append(out, scratch.bytes, sizeof scratch.bytes - stream_.avail_out);
    } while (stream_.avail_out == 0);
    return stream_.avail_in == 0;
  }

  size_t memory_bytes() const override { return memory_bytes_; }

 private:
  static voidpf allocate(voidpf self, uInt items, uInt size) {
    void* block = std::calloc(items, size);
    if (block) static_cast<GzipEncoder*>(self)->memory_bytes_ += size_t{items} * size;
    return block;
  }
  static void release(voidpf, voidpf block) { std::free(block); }

  z_stream stream_{};
  bool is_begun_ = false;
  size_t memory_bytes_ = 0;
};

// The library has no way to begin again with a state that it has: what it allocated is kept and given back to
// the next state, which asks for the same sizes.
class BrotliEncoder final : public Encoder {
 public:
  using Encoder::Encoder;
  ~BrotliEncoder() override {
    BrotliEncoderDestroyInstance(state_);
    for (const Block& block : blocks_) std::free(block.memory);
  }

  bool reset() override {
    BrotliEncoderDestroyInstance(state_);
    if (memory_bytes() > coding_memory_bytes(options())) {
      for (const Block& block : blocks_) std::free(block.memory);
      blocks_.clear();
    }
    unflushed_bytes_ = 0;
    state_ = BrotliEncoderCreateInstance(allocate, release, this);
    if (!state_) return false;
    return set(BROTLI_PARAM_QUALITY, options().level) && set(BROTLI_PARAM_LGWIN, options().window_bits) &&
           set(BROTLI_PARAM_LGBLOCK, options().block_bits) && set(BROTLI_PARAM_MODE, options().mode);
  }

  bool encode(std::string_view input, Flush flush, base::ByteQueue* out) override {
    unflushed_bytes_ += input.size();
    bool is_flushed = flush != Flush::kNone || unflushed_bytes_ >= kUnflushedMaxBytes;
    if (is_flushed) unflushed_bytes_ = 0;
    auto operation = flush == Flush::kEnd ? BROTLI_OPERATION_FINISH
                     : is_flushed         ? BROTLI_OPERATION_FLUSH
                                          : BROTLI_OPERATION_PROCESS;
    size_t input_left = input.size();
    const auto* at = reinterpret_cast<const uint8_t*>(input.data());
    size_t taken = 0;
    do {
      size_t room = 0;  // it keeps its output until it is taken below, and stops there
      uint8_t* nowhere = nullptr;
      if (!BrotliEncoderCompressStream(state_, operation, &input_left, &at, &room, &nowhere, nullptr))
        return false;
      taken = 0;
      const uint8_t* bytes = BrotliEncoderTakeOutput(state_, &taken);
      append(out, bytes, taken);
    } while (input_left > 0 || taken > 0);
    return flush != Flush::kEnd || BrotliEncoderIsFinished(state_);
  }

  size_t memory_bytes() const override {
    size_t total = 0;
    for (const Block& block : blocks_) total += block.size;
    return total;
  }

 private:
  struct Block {
    void* memory;
    size_t size;
    bool is_used;
  };

  bool set(BrotliEncoderParameter parameter, int value) {
    return BrotliEncoderSetParameter(state_, parameter, static_cast<uint32_t>(value)) == BROTLI_TRUE;
  }
  static void* allocate(void* self, size_t size) {
    auto& blocks = static_cast<BrotliEncoder*>(self)->blocks_;
    for (Block& block : blocks) {
      if (block.is_used || block.size != size) continue;
      block.is_used = true;
      return block.memory;
    }
    void* memory = std::malloc(size);
    if (memory) blocks.push_back({memory, size, true});
    return memory;
  }
  static void release(void* self, void* memory) {
    if (!memory) return;
    auto& blocks = static_cast<BrotliEncoder*>(self)->blocks_;
    auto found =
        std::find_if(blocks.begin(), blocks.end(), [&](const Block& b) { return b.memory == memory; });
    // While a body lasts, sizes that grow make earlier blocks useless; the few that are large are not kept.
    constexpr size_t kKeptMaxBytes = 4 * kMegabyte;
    if (found->size > kKeptMaxBytes || blocks.size() > kBlocksMax) {
      std::free(memory);
      blocks.erase(found);
    } else {
      found->is_used = false;
    }
  }

  static constexpr size_t kBlocksMax = 64;
  // Left alone it gathers megabytes before it codes them, and takes as much again for doing so.
  static constexpr size_t kUnflushedMaxBytes = 64 * kKilobyte;
  BrotliEncoderState* state_ = nullptr;
  size_t unflushed_bytes_ = 0;
  std::vector<Block> blocks_;
};

class ZstdEncoder final : public Encoder {
 public:
  explicit ZstdEncoder(const CodingOptions& options) : Encoder(options), context_(ZSTD_createCCtx()) {}
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  bool reset() override {
    // The levels choose tables for files of any size; these hold what bodies of the web ask for.
    constexpr int kTableBits = 17;
    return context_ && !ZSTD_isError(ZSTD_CCtx_reset(context_, ZSTD_reset_session_and_parameters)) &&
           set(ZSTD_c_compressionLevel, options().level) && set(ZSTD_c_windowLog, options().window_bits) &&
           set(ZSTD_c_hashLog, kTableBits) && set(ZSTD_c_chainLog, kTableBits);
  }

  bool encode(std::string_view input, Flush flush, base::ByteQueue* out) override {
    auto directive = flush == Flush::kEnd     ? ZSTD_e_end
                     : flush == Flush::kPiece ? ZSTD_e_flush
                                              : ZSTD_e_continue;
    Scratch& scratch = Scratch::get();
    ZSTD_inBuffer from{input.data(), input.size(), 0};
    bool is_done = false;
    while (!is_done) {
      ZSTD_outBuffer to{scratch.bytes, sizeof scratch.bytes, 0};
      size_t left = ZSTD_compressStream2(context_, &to, &from, directive);
      if (ZSTD_isError(left)) return false;
      append(out, scratch.bytes, to.pos);
      is_done = flush == Flush::kNone ? from.pos == from.size : left == 0;
    }
    return true;
  }

  size_t memory_bytes() const override { return ZSTD_sizeof_CCtx(context_); }

 private:
  bool set(ZSTD_cParameter parameter, int value) {
    return !ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, value));
  }
  ZSTD_CCtx* context_;
};

std::unique_ptr<Encoder> make_encoder(const CodingOptions& options) {
  switch (options.coding) {
    case Coding::kGzip:
      return std::make_unique<GzipEncoder>(options);
    case Coding::kBrotli:
      return std::make_unique<BrotliEncoder>(options);
    case Coding::kZstd:
      return std::make_unique<ZstdEncoder>(options);
    case Coding::kIdentity:
    case Coding::kDeflate:
      break;
  }
  return nullptr;
}

}  // namespace

std::string_view coding_name(Coding coding) { return kNames[static_cast<size_t>(coding)]; }

Coding find_coding(std::string_view name) {
  for (size_t i = 1; i < kNames.size(); i++) {
    if (equals_ignoring_case(name, kNames[i])) return static_cast<Coding>(i);
  }
  return equals_ignoring_case(name, "x-gzip") ? Coding::kGzip : Coding::kIdentity;
}

std::unique_ptr<Encoder> EncoderPool::checkout(const CodingOptions& options) {
  for (size_t i = idle_.size(); i-- > 0;) {
    if (idle_[i]->options() != options) continue;
    std::unique_ptr<Encoder> encoder = std::move(idle_[i]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    if (encoder->reset()) return encoder;
    memory_bytes_ -= coding_memory_bytes(options);
    break;
  }
  size_t needed = coding_memory_bytes(options);
  while (memory_bytes_ + needed > memory_max_bytes_ && !idle_.empty()) drop_idle();
  if (memory_bytes_ + needed > memory_max_bytes_) return nullptr;
  std::unique_ptr<Encoder> encoder = make_encoder(options);
  if (!encoder || !encoder->reset()) return nullptr;
  memory_bytes_ += needed;
  return encoder;
}

void EncoderPool::checkin(std::unique_ptr<Encoder> encoder) {
  if (idle_.size() == kIdleMax) drop_idle();
  idle_.push_back(std::move(encoder));
}

// The one that has been idle for longest.
void EncoderPool::drop_idle() {
  memory_bytes_ -= coding_memory_bytes(idle_.front()->options());
  idle_.erase(idle_.begin());
}

// As measured, rounded up; a test holds the coders to it.
size_t coding_memory_bytes(const CodingOptions& options) {
  switch (options.coding) {
    case Coding::kGzip:
      return 272 * kKilobyte;
    case Coding::kBrotli: {
      constexpr int kBlockBitsOwn = 18;
      size_t history = size_t{2} << std::max(options.window_bits, options.block_bits);
      size_t block = size_t{1} << std::max(options.block_bits, kBlockBitsOwn);
      size_t search = 0;
      if (options.level >= 10)
        search = (size_t{8} << options.window_bits) + 8 * kMegabyte;
      else if (options.level >= 7)
        search = (8 * kMegabyte) << (options.level - 7);
      else if (options.level >= 5)
        search = kMegabyte << (options.level - 5);
      return history + block + search + 2 * kMegabyte;
    }
    case Coding::kZstd: {
      size_t window = size_t{1} << options.window_bits;
      return window + window / 8 + 11 * kMegabyte / 4;
    }
    case Coding::kIdentity:
    case Coding::kDeflate:
      break;
  }
  return 0;
}

size_t coding_turn_bytes(const CodingOptions& options) {
  bool is_brotli = options.coding == Coding::kBrotli;
  bool is_gzip = options.coding == Coding::kGzip;
  bool is_slow = options.level >= (is_brotli || is_gzip ? 4 : 6);
  bool is_very_slow = options.level >= (is_gzip ? 7 : is_brotli ? 10 : 13);
  return is_very_slow ? 16 * kKilobyte : is_slow ? 64 * kKilobyte : 256 * kKilobyte;
}

}  // namespace moongate::http
