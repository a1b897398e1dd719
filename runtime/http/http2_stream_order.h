// SPDX-License-Identifier: Apache-2.0
// Which of a client's streams are behind it: those whose numbers it has passed over, and those that it has
// ended itself. Heads on them break RFC 9113 5.1, whatever the server did meanwhile; the library forgets
// closed streams and would ignore them. http2_session.cpp asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace moongate::http {

/// Shape:   the last few of each kind; what is older is forgotten, and ignored as before.
class Http2StreamOrder {
 public:
  /// A head on this stream begins: false when its number was passed over.
  bool take_head(uint32_t stream) {
    if (stream > last_) {
      if (stream > last_ + 2) remember(gaps_, gap_count_, {last_, stream});
      last_ = stream;
      return true;
    }
    return std::none_of(gaps_.begin(), gaps_.end(),
                        [stream](const Gap& gap) { return gap.before < stream && stream < gap.behind; });
  }

  /// The client has said everything on this stream, or has cancelled it.
  void note_end(uint32_t stream) { remember(ended_, ended_count_, stream); }
  bool has_ended(uint32_t stream) const {
    return stream != 0 && std::find(ended_.begin(), ended_.end(), stream) != ended_.end();
  }

 private:
  struct Gap {
    uint32_t before = 0;
    uint32_t behind = 0;
  };

  template <class List>
  static void remember(List& list, uint32_t& count, const typename List::value_type& item) {
    list[count++ % list.size()] = item;
  }

  uint32_t last_ = 0;
  uint32_t gap_count_ = 0;
  uint32_t ended_count_ = 0;
  std::array<Gap, 4> gaps_{};
  std::array<uint32_t, 16> ended_{};
};

}  // namespace moongate::http
