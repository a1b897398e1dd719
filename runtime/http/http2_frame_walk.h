// SPDX-License-Identifier: Apache-2.0
// Where frames begin in what a client sends. The library shows nothing of frames that it ignores, and nothing
// of a PRIORITY frame's payload; http2_session.cpp judges by this what the library passes over.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace moongate::http {

struct Http2FrameHead {
  size_t begin = 0;         // in the bytes that were given; 0 when it began in those before
  uint32_t size_bytes = 0;  // of the payload
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  uint32_t dependency = 0;     // of a PRIORITY frame
  uint32_t padding_bytes = 0;  // of a DATA frame
};

/// Walks from head to head, however the bytes are cut.
///
/// Shape:   the part of a head that has come, and how much of a payload is still to come.
/// Fails:   never: a frame that may not be is one with a size all the same.
class Http2FrameWalk {
 public:
  /// `preface_bytes` come before the first frame.
  explicit Http2FrameWalk(uint32_t preface_bytes) : left_bytes_(preface_bytes) {}

  /// Goes on in `bytes` from `*at` to behind the next head. Null when they are used up; the next ones follow.
  const Http2FrameHead* next(std::string_view bytes, size_t* at) {
    const size_t passed = std::min<size_t>(left_bytes_, bytes.size() - *at);
    left_bytes_ -= static_cast<uint32_t>(passed);
    *at += passed;
    if (left_bytes_ > 0 || *at == bytes.size()) return nullptr;
    head_.begin = held_size_ == 0 ? *at : 0;
    if (held_size_ == 0 && bytes.size() - *at >= kSeenBytes) {
      take(reinterpret_cast<const uint8_t*>(bytes.data()) + *at);
      *at += kHeadBytes;
      left_bytes_ = head_.size_bytes;
      return &head_;
    }
    if (!hold(bytes, at)) return nullptr;
    left_bytes_ = head_.size_bytes + kHeadBytes - held_size_;
    held_size_ = 0;
    return &head_;
  }

 private:
  static constexpr uint32_t kHeadBytes = 9;
  static constexpr uint32_t kSeenBytes = 13;  // with the number of another stream
  static constexpr uint32_t kStreamMask = 0x7fffffff;
  static constexpr uint8_t kData = 0;
  static constexpr uint8_t kPriority = 2;
  static constexpr uint8_t kPadded = 8;

  bool has_dependency() const {
    return head_.type == kPriority && head_.size_bytes >= kSeenBytes - kHeadBytes;
  }
  bool has_padding() const {
    return head_.type == kData && (head_.flags & kPadded) != 0 && head_.size_bytes > 0;
  }

  static uint32_t number(const uint8_t* at) {
    return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 |
           static_cast<uint32_t>(at[2]) << 8 | at[3];
  }
  void take(const uint8_t* head) {
    head_.size_bytes = number(head) >> 8;
    head_.type = head[3];
    head_.flags = head[4];
    head_.stream = number(head + 5) & kStreamMask;
    head_.dependency = has_dependency() ? number(head + kHeadBytes) & kStreamMask : 0;
    head_.padding_bytes = has_padding() ? head[kHeadBytes] : 0;
  }
  // What comes in pieces is put together. False while it is not whole.
  bool hold(std::string_view bytes, size_t* at) {
    const auto add = [&](uint32_t size) {
      while (held_size_ < size && *at < bytes.size())
        held_[held_size_++] = static_cast<uint8_t>(bytes[(*at)++]);
      return held_size_ >= size;
    };
    if (!add(kHeadBytes)) return false;
    take(held_.data());
    const uint32_t seen = has_dependency() ? kSeenBytes : has_padding() ? kHeadBytes + 1 : kHeadBytes;
    if (seen == kHeadBytes) return true;
    if (!add(seen)) return false;
    take(held_.data());
    return true;
  }

  Http2FrameHead head_;
  std::array<uint8_t, kSeenBytes> held_{};
  uint32_t held_size_ = 0;
  uint32_t left_bytes_;
};

}  // namespace moongate::http
