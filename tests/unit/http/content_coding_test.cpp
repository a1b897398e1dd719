// SPDX-License-Identifier: Apache-2.0
#include "http/content_coding.h"

#include <catch2/catch.hpp>

#include "http/content_decoding.h"

using namespace moongate;
using http::Coding;
using http::CodingOptions;
using http::Encoder;
using http::EncoderPool;
using Flush = http::Encoder::Flush;

namespace {

std::string make_text(size_t size) {
  std::string text;
  for (uint32_t seed = 1; text.size() < size;) {
    seed = seed * 1664525U + 1013904223U;
    text += "word" + std::to_string((seed >> 20) % 700) + ((seed >> 9) % 7 == 0 ? "\n{\"k\":" : " ");
  }
  text.resize(size);
  return text;
}

std::string code(Encoder& encoder, std::string_view text, size_t piece, Flush flush) {
  base::ByteQueue out;
  for (; text.size() > piece; text.remove_prefix(piece))
    REQUIRE(encoder.encode(text.substr(0, piece), flush, &out));
  REQUIRE(encoder.encode(text, Flush::kEnd, &out));
  return std::string(out.view());
}

std::vector<CodingOptions> many_options() {
  std::vector<CodingOptions> all;
  for (int level : {1, 6, 9}) all.push_back({Coding::kGzip, level});
  for (int window : {0, 16, 19, 22}) {
    for (int level : {0, 2, 4, 5, 6, 7, 9}) all.push_back({Coding::kBrotli, level, window});
  }
  all.push_back({Coding::kBrotli, 11, 19});
  all.push_back({Coding::kBrotli, 11, 10, 16, 1});
  all.push_back({Coding::kBrotli, 6, 19, 24, 2});
  for (int window : {10, 19, 23}) {
    for (int level : {1, 3, 9, 19}) all.push_back({Coding::kZstd, level, window});
  }
  return all;
}

std::string decoded(Coding coding, std::string_view coded, const http::DecodingLimits& limits = {}) {
  auto plain = http::decode_content(coding, coded, limits);
  return plain ? plain.take() : "fault: " + plain.error().detail;
}

}  // namespace

TEST_CASE("what is coded decodes to the same, however it is cut and flushed") {
  const std::string text = make_text(300'000);
  EncoderPool pool;
  for (const CodingOptions& options : many_options()) {
    CAPTURE(static_cast<int>(options.coding), options.level, options.window_bits);
    pool.set_memory_max(size_t{1} << 30);
    for (size_t piece : {size_t{1000}, size_t{70'001}, size_t{1'000'000}}) {
      for (Flush flush : {Flush::kNone, Flush::kPiece}) {
        auto encoder = pool.checkout(options);
        REQUIRE(encoder);
        CHECK(decoded(options.coding, code(*encoder, text, piece, flush)) == text);
        pool.checkin(std::move(encoder));
      }
    }
  }
}

TEST_CASE("a body decodes whole also where it ends with one of the pieces that it is decoded in") {
  for (const CodingOptions& options : {CodingOptions{Coding::kGzip, 6}, CodingOptions{Coding::kBrotli, 6, 19},
                                       CodingOptions{Coding::kZstd, 3, 19}}) {
    for (size_t size : {size_t{32} * 1024, size_t{256} * 1024, size_t{32} * 1024 + 1}) {
      CAPTURE(static_cast<int>(options.coding), size);
      const std::string text = make_text(size);
      EncoderPool pool;
      pool.set_memory_max(size_t{1} << 30);
      auto encoder = pool.checkout(options);
      REQUIRE(encoder);
      const std::string coded = code(*encoder, text, size, Flush::kNone);
      CHECK(decoded(options.coding, coded) == text);
      CHECK(decoded(options.coding, coded.substr(0, coded.size() - 1)).starts_with("fault: "));
    }
  }
}

TEST_CASE("a coder takes no more memory than it is charged with, a second time neither") {
  const std::string text = make_text(1'500'000);
  EncoderPool pool;
  pool.set_memory_max(size_t{1} << 30);
  for (const CodingOptions& options : many_options()) {
    CAPTURE(static_cast<int>(options.coding), options.level, options.window_bits, options.block_bits);
    for (int use = 0; use < 2; use++) {
      auto encoder = pool.checkout(options);
      base::ByteQueue out;
      size_t limit = options.level > 9 ? 300'000 : text.size();
      for (size_t at = 0; at < limit; at += 16'384) {
        REQUIRE(encoder->encode(std::string_view(text).substr(at, 16'384), Flush::kNone, &out));
        REQUIRE(encoder->memory_bytes() <= http::coding_memory_bytes(options));
      }
      pool.checkin(std::move(encoder));
    }
  }
}

TEST_CASE("a flush gives the reader everything up to it") {
  EncoderPool pool;
  for (const CodingOptions& options : {CodingOptions{Coding::kGzip, 1}, CodingOptions{Coding::kBrotli, 6, 19},
                                       CodingOptions{Coding::kZstd, 3, 19}}) {
    auto encoder = pool.checkout(options);
    base::ByteQueue out;
    size_t before = 0;
    for (int i = 0; i < 3; i++) {
      REQUIRE(encoder->encode("data: event\n\n", Flush::kNone, &out));
      REQUIRE(encoder->encode({}, Flush::kPiece, &out));
      CHECK(out.size() > before);
      before = out.size();
    }
    REQUIRE(encoder->encode({}, Flush::kEnd, &out));
    CHECK(decoded(options.coding, out.view()) == "data: event\n\ndata: event\n\ndata: event\n\n");
  }
}

TEST_CASE("the pool gives no coder beyond its memory and makes room by idle ones") {
  EncoderPool pool;
  const CodingOptions gzip{Coding::kGzip, 1};
  const CodingOptions zstd{Coding::kZstd, 3, 10};
  pool.set_memory_max(http::coding_memory_bytes(gzip) + http::coding_memory_bytes(zstd));
  auto first = pool.checkout(gzip);
  auto second = pool.checkout(zstd);
  REQUIRE((first && second));
  CHECK_FALSE(pool.checkout(gzip));
  pool.checkin(std::move(second));
  auto third = pool.checkout(gzip);
  CHECK(third);
  CHECK(pool.memory_bytes() == 2 * http::coding_memory_bytes(gzip));
}

TEST_CASE("a bomb is refused by ratio and by size") {
  EncoderPool pool;
  const std::string zeros(20'000'000, '\0');
  for (const CodingOptions& options : {CodingOptions{Coding::kGzip, 9}, CodingOptions{Coding::kBrotli, 5, 19},
                                       CodingOptions{Coding::kZstd, 3, 19}}) {
    auto encoder = pool.checkout(options);
    const std::string coded = code(*encoder, zeros, zeros.size(), Flush::kNone);
    CAPTURE(static_cast<int>(options.coding), coded.size());
    CHECK_THAT(decoded(options.coding, coded), Catch::Contains("is larger than 200 times what was sent"));
    http::DecodingLimits limits;
    limits.ratio_max = 1'000'000'000;
    limits.size_max_bytes = 19'999'999;
    CHECK_THAT(decoded(options.coding, coded, limits), Catch::Contains("is larger than 19999999 bytes"));
    limits.size_max_bytes = 20'000'000;
    CHECK(decoded(options.coding, coded, limits) == zeros);
  }
}

TEST_CASE("a body that is cut short, goes on or is none is refused") {
  EncoderPool pool;
  const std::string text = make_text(5000);
  for (const CodingOptions& options : {CodingOptions{Coding::kGzip, 6}, CodingOptions{Coding::kBrotli, 5, 19},
                                       CodingOptions{Coding::kZstd, 3, 19}}) {
    auto encoder = pool.checkout(options);
    const std::string coded = code(*encoder, text, text.size(), Flush::kNone);
    CAPTURE(static_cast<int>(options.coding));
    for (size_t size = 0; size < coded.size(); size += 7)
      CHECK_THAT(decoded(options.coding, coded.substr(0, size)), Catch::StartsWith("fault: "));
    CHECK_THAT(decoded(options.coding, coded + "x"), Catch::StartsWith("fault: "));
    CHECK_THAT(decoded(options.coding, "this is plain text"), Catch::StartsWith("fault: "));
  }
}

TEST_CASE("deflate is read with zlib's header and without, gzip in several members") {
  CHECK(decoded(Coding::kDeflate,
                std::string_view("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15", 13)) == "hello");
  CHECK(decoded(Coding::kDeflate, std::string_view("\xcb\x48\xcd\xc9\xc9\x07\x00", 7)) == "hello");
  EncoderPool pool;
  auto encoder = pool.checkout({Coding::kGzip, 6});
  const std::string one = code(*encoder, "one ", 100, Flush::kNone);
  REQUIRE(encoder->reset());
  CHECK(decoded(Coding::kGzip, one + code(*encoder, "two", 100, Flush::kNone)) == "one two");
}

TEST_CASE("codings are found by their names in any case") {
  CHECK(http::find_coding("GZip") == Coding::kGzip);
  CHECK(http::find_coding("x-gzip") == Coding::kGzip);
  CHECK(http::find_coding("br") == Coding::kBrotli);
  CHECK(http::find_coding("compress") == Coding::kIdentity);
  CHECK(http::find_coding("") == Coding::kIdentity);
}
