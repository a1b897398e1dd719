// SPDX-License-Identifier: Apache-2.0
// folder: http
// A chunked body decodes to the same payload, trailers, verdict and end however the network cuts it; and what
// decodes, written again by our own framing, decodes to the same payload. The first byte seeds the cuts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/chunked.h"

namespace {

using moongate::http::ChunkedDecoder;
using Status = ChunkedDecoder::Status;

struct Outcome {
  Status status = Status::kMore;
  size_t consumed = 0;
  std::string payload;
  std::string trailers;
  bool operator==(const Outcome&) const = default;
};

void feed_piece(ChunkedDecoder* decoder, std::string_view piece, Outcome* outcome) {
  while (true) {
    const ChunkedDecoder::Step step = decoder->feed(piece);
    MG_ASSERT(step.consumed <= piece.size());
    outcome->consumed += step.consumed;
    outcome->status = step.status;
    if (step.status != Status::kData) {
      MG_ASSERT(step.status != Status::kMore || step.consumed == piece.size());
      return;
    }
    MG_ASSERT(!step.data.empty() && step.data.data() >= piece.data());
    MG_ASSERT(step.data.data() + step.data.size() == piece.data() + step.consumed);
    outcome->payload.append(step.data);
    piece.remove_prefix(step.consumed);
  }
}

// Decodes in pieces of 1 to `piece_max` bytes.
Outcome decode(std::string_view input, uint32_t seed, size_t piece_max, size_t trailer_max_bytes = 256) {
  ChunkedDecoder decoder(trailer_max_bytes);
  Outcome outcome;
  while (!input.empty() && outcome.status == Status::kMore) {
    seed = seed * 1664525U + 1013904223U;
    const size_t size = std::min<size_t>(input.size(), 1 + (seed >> 16) % piece_max);
    const std::string piece(input.substr(0, size));
    feed_piece(&decoder, piece, &outcome);
    input.remove_prefix(size);
  }
  outcome.trailers = decoder.trailers();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = decode(input, 0, 1);
  MG_ASSERT(decode(input, data[0], 9) == whole);
  MG_ASSERT(decode(input, data[0], input.size() + 1) == whole);
  if (whole.status != Status::kDone) return 0;

  std::string again;
  if (!whole.payload.empty()) {
    char open[20];
    again.append(open, moongate::http::write_chunk_open(whole.payload.size(), open));
    again.append(whole.payload).append(moongate::http::kChunkClose);
  }
  again.append("0\r\n").append(whole.trailers).append("\r\n");
  // Trailers come out with a space after each colon, which may not have been there.
  const Outcome second = decode(again, data[0], 5, 512);
  MG_ASSERT(second.status == Status::kDone && second.consumed == again.size());
  MG_ASSERT(second.payload == whole.payload && second.trailers == whole.trailers);
  return 0;
}
