// SPDX-License-Identifier: Apache-2.0
// A body that a plugin or a route asked for: in memory while it is small, then in a file without a name below
// DIR, which is gone with the request, and with the worker, whatever happens. body_keeper.h fills it,
// proxy/forward.cpp sends it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_queue.h"
#include "base/result.h"

namespace moongate::exchange {

/// Where the bodies of one worker go when they are long, and how much they may take.
struct BodyFiles {
  std::string directory;  // empty: there is none, and bodies stay in memory
  size_t memory_max_bytes = 1024 * 1024;
  uint64_t disk_max_bytes = uint64_t{4} << 30;  // of all together
  uint64_t disk_bytes = 0;                      // taken now
};

/// One body.
///
/// Shape:   all of it in memory, or all of it in the file.
/// Owner:   the exchange; the BodyFiles must outlive it.
/// Runs in: one worker's loop; blocks for as long as the page cache does.
/// Fails:   append() with kLimit when BodyFiles allows no more or the disk is full, kIo otherwise.
class CollectedBody {
 public:
  CollectedBody() = default;
  ~CollectedBody() { clear(); }
  CollectedBody(const CollectedBody&) = delete;
  CollectedBody& operator=(const CollectedBody&) = delete;

  base::Result<void> append(std::string_view bytes, BodyFiles& files);
  /// Puts `bytes` in the place of what there was; they stay in memory.
  void replace(std::string_view bytes);
  void clear();

  bool is_empty() const { return size() == 0; }
  uint64_t size() const { return fd_ >= 0 ? file_bytes_ : memory_.size(); }
  bool is_in_file() const { return fd_ >= 0; }
  /// The body, when it is in memory.
  std::string_view view() const { return memory_.view(); }
  /// A path that this process can open it by, when it is in a file.
  std::string path() const;
  /// Reads from `offset` of the file on; what was read, or an error. Never empty.
  base::Result<std::string_view> read(uint64_t offset, char* buffer, size_t size) const;

 private:
  base::Result<void> open(BodyFiles& files);
  base::Result<void> write(std::string_view bytes, BodyFiles& files);

  base::ByteQueue memory_;
  BodyFiles* files_ = nullptr;
  int fd_ = -1;
  uint64_t file_bytes_ = 0;
};

}  // namespace moongate::exchange
