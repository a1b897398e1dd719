// SPDX-License-Identifier: Apache-2.0
// folder: http
// Whatever is said to be coded decodes within its limits or is refused; and what it decodes to, coded again,
// decodes to the same. The first byte picks the coding.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "http/content_decoding.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moongate;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr http::Coding kCodings[] = {http::Coding::kGzip, http::Coding::kBrotli, http::Coding::kZstd,
                                       http::Coding::kDeflate};
  const http::Coding coding = kCodings[data[0] % 4];
  http::DecodingLimits limits;
  limits.size_max_bytes = 100'000;
  limits.size_always_bytes = 10'000;
  auto plain = http::decode_content(coding, input, limits);
  if (!plain) {
    MG_ASSERT(!plain.error().detail.empty());
    return 0;
  }
  MG_ASSERT(plain->size() <= limits.size_max_bytes);
  MG_ASSERT(plain->size() <= limits.size_always_bytes || plain->size() <= input.size() * limits.ratio_max);
  if (coding == http::Coding::kDeflate) return 0;

  http::EncoderPool pool;
  auto encoder = pool.checkout({coding, 3, 16});
  MG_ASSERT(encoder != nullptr);
  base::ByteQueue again;
  MG_ASSERT(encoder->encode(*plain, http::Encoder::Flush::kEnd, &again));
  auto second = http::decode_content(coding, again.view(), {});
  MG_ASSERT(second.ok() && *second == *plain);
  return 0;
}
