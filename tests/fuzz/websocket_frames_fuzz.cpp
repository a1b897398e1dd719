// SPDX-License-Identifier: Apache-2.0
// folder: http
// The frames of a WebSocket are the same however the network cuts them, what passes is the beginning of what
// came, and it ends between frames or in a payload. The first byte says whose frames they are and what was
// agreed on, the second seeds the cuts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/websocket_frames.h"

namespace {

using moongate::http::WebSocketFrames;
using Status = WebSocketFrames::Status;

struct Outcome {
  std::string passed;
  uint64_t headers = 0;
  uint64_t sizes = 0;
  bool is_fault = false;
  bool is_between_frames = false;
  bool operator==(const Outcome&) const = default;
};

void feed_piece(WebSocketFrames* frames, std::string_view piece, Outcome* outcome) {
  while (true) {
    const WebSocketFrames::Step step = frames->feed(piece);
    MG_ASSERT(step.consumed <= piece.size());
    outcome->passed.append(step.bytes);
    piece.remove_prefix(step.consumed);
    if (step.status == Status::kFault) {
      MG_ASSERT(frames->fault() != nullptr && step.bytes.empty());
      outcome->is_fault = true;
      return;
    }
    if (step.status == Status::kMore) {
      MG_ASSERT(piece.empty());
      return;
    }
    MG_ASSERT(!step.bytes.empty());
    if (step.status != Status::kHeader) continue;
    outcome->headers++;
    outcome->sizes += frames->frame().message_size;
    MG_ASSERT(!frames->frame().is_control() || frames->frame().size <= 125);
  }
}

// Reads in pieces of 1 to `piece_max` bytes.
Outcome read(std::string_view input, const WebSocketFrames::Options& options, uint32_t seed,
             size_t piece_max) {
  WebSocketFrames frames(options);
  Outcome outcome;
  while (!input.empty() && !outcome.is_fault) {
    seed = seed * 1664525U + 1013904223U;
    const size_t size = std::min<size_t>(input.size(), 1 + (seed >> 16) % piece_max);
    const std::string piece(input.substr(0, size));
    feed_piece(&frames, piece, &outcome);
    input.remove_prefix(size);
  }
  outcome.is_between_frames = frames.is_between_frames();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  WebSocketFrames::Options options;
  options.is_client = (data[0] & 1) != 0;
  options.may_compress = (data[0] & 2) != 0;
  options.may_use_bits = (data[0] & 4) != 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Outcome whole = read(input, options, 0, SIZE_MAX >> 1);
  MG_ASSERT(input.starts_with(whole.passed));
  MG_ASSERT(whole == read(input, options, data[1], 1));
  MG_ASSERT(whole == read(input, options, data[1], 7));
  return 0;
}
