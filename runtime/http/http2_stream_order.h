// SPDX-License-Identifier: Apache-2.0
// Which of a client's streams are behind it: those whose numbers it has passed over, and those that it has
// ended itself. Heads and bodies on them break RFC 9113 5.1, whatever the server did meanwhile; the library
// forgets closed streams and would ignore them. http2_session.cpp asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace moongate::http {

/// Shape:   the last few gaps, and a bit for each of the last streams. What is older is forgotten and passes.
class Http2StreamOrder {
 public:
  /// A head on this stream begins: false when its number was passed over.
  bool take_head(uint32_t stream) {
    if (stream <= last_) return !was_passed_over(stream);
    if (stream > last_ + 2) gaps_[gap_count_++ % gaps_.size()] = {last_, stream};
    const uint32_t place = place_of(stream);
    const uint32_t new_places = std::min(place - place_of(last_), kStreams);
    for (uint32_t i = 0; i < new_places; i++) ended_[word_of(place - i)] &= ~bit_of(place - i);
    last_ = stream;
    return true;
  }
  bool was_passed_over(uint32_t stream) const {
    return std::any_of(gaps_.begin(), gaps_.end(),
                       [stream](const Gap& gap) { return gap.before < stream && stream < gap.behind; });
  }

  /// The client has said everything on this stream, or has cancelled it.
  void note_end(uint32_t stream) {
    if (is_known(stream)) ended_[word_of(place_of(stream))] |= bit_of(place_of(stream));
  }
  bool has_ended(uint32_t stream) const {
    return is_known(stream) && (ended_[word_of(place_of(stream))] & bit_of(place_of(stream))) != 0;
  }

 private:
  struct Gap {
    uint32_t before = 0;
    uint32_t behind = 0;
  };
  static constexpr uint32_t kStreams = 512;
  static constexpr uint32_t kBits = 64;

  // A client's streams have odd numbers.
  bool is_known(uint32_t stream) const {
    return stream % 2 == 1 && stream <= last_ && place_of(last_) - place_of(stream) < kStreams;
  }
  static uint32_t place_of(uint32_t stream) { return stream / 2; }
  static uint32_t word_of(uint32_t place) { return place / kBits % (kStreams / kBits); }
  static uint64_t bit_of(uint32_t place) { return uint64_t{1} << place % kBits; }

  uint32_t last_ = 0;
  uint32_t gap_count_ = 0;
  std::array<Gap, 4> gaps_{};
  std::array<uint64_t, kStreams / kBits> ended_{};
};

}  // namespace moongate::http
