// SPDX-License-Identifier: Apache-2.0
// Which of a client's streams are behind it. Those that are gone have been ended by both sides, or cancelled
// by the client, or were passed over, and heads and bodies on them break RFC 9113 5.1; the library forgets
// them and would ignore it. Only what was on its way when the server ended a stream is no fault, so those
// streams are remembered, and nothing of the others. http2_session.cpp asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moongate::http {

/// Shape:   the last number, the last few gaps, and the streams that were cut off: as many as a
///          client may have open (`streams_max`), and what it may send beyond that before it has heard of the
///          limit. Of older ones it has heard.
class Http2StreamOrder {
 public:
  static constexpr uint32_t kFirstFlightMax = 1000;
  explicit Http2StreamOrder(uint32_t streams_max) : cuts_max_(size_t{streams_max} + kFirstFlightMax) {}

  /// No head of this stream or one behind it has come. A client's streams have odd numbers.
  bool is_new(uint32_t stream) const { return stream > last_; }
  void begin(uint32_t stream) {
    if (stream > last_ + 2) gaps_[gap_count_++ % gaps_.size()] = {last_, stream};
    last_ = stream;
  }
  bool was_passed_over(uint32_t stream) const {
    return std::any_of(gaps_.begin(), gaps_.end(),
                       [stream](const Gap& gap) { return gap.before < stream && stream < gap.behind; });
  }

  /// The server has ended this stream, and the client had not.
  void note_cut(uint32_t stream) {
    if (was_cut(stream)) return;
    if (cuts_.size() < cuts_max_)
      cuts_.push_back(stream);
    else
      cuts_[oldest_++ % cuts_max_] = stream;
  }
  /// The client has ended or cancelled it as well.
  void note_end(uint32_t stream) {
    const auto at = std::find(cuts_.begin(), cuts_.end(), stream);
    if (at != cuts_.end()) *at = 0;
  }
  /// The server takes no streams above this one, and says nothing about them.
  void close_above(uint32_t stream) { closed_above_ = std::min(closed_above_, stream); }
  /// Of a stream that is gone: the client may still send on it.
  bool was_cut(uint32_t stream) const {
    return stream > closed_above_ || std::find(cuts_.begin(), cuts_.end(), stream) != cuts_.end();
  }

 private:
  struct Gap {
    uint32_t before = 0;
    uint32_t behind = 0;
  };

  uint32_t last_ = 0;
  uint32_t closed_above_ = UINT32_MAX;
  uint32_t gap_count_ = 0;
  std::array<Gap, 4> gaps_{};
  size_t cuts_max_;
  size_t oldest_ = 0;
  std::vector<uint32_t> cuts_;  // 0 for one that has ended
};

}  // namespace moongate::http
