// SPDX-License-Identifier: Apache-2.0
// What a Redis server answers, and the reader that puts answers together from whatever pieces the network
// brings. The protocol is hiredis's business; the bounds on what a server may make us keep are ours.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace moongate::redis {

struct Reply {
  enum class Kind : uint8_t { kNil, kInteger, kText, kStatus, kError, kArray };
  Kind kind = Kind::kNil;
  int64_t integer = 0;
  std::string text;  // also of a status and of an error
  std::vector<Reply> items;

  bool is_error() const { return kind == Kind::kError; }
  /// True for an error whose first word is `code`: "MOVED", "NOSCRIPT".
  bool is_error_of(std::string_view code) const;
};

/// Puts replies together.
///
/// Shape:   keeps the bytes of the reply that is not complete yet.
/// Fails:   on what is no reply, and on one that is larger than the limits; there is no going on after that.
class ReplyReader {
 public:
  static constexpr size_t kReplyMaxBytes = 4u << 20;  // texts of one reply, and bytes not understood yet
  static constexpr size_t kItemsMax = 65536;          // of one reply, in all its arrays

  ReplyReader();
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  base::Result<void> feed(std::string_view bytes);
  /// The next complete reply; null when more bytes are needed.
  base::Result<std::unique_ptr<Reply>> take();
  /// Forgets everything: another connection begins.
  void reset();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::redis
