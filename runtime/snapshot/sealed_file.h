// SPDX-License-Identifier: Apache-2.0
// Bytes in anonymous memory that nobody can change any more: how a snapshot reaches every worker without a
// copy each.
#pragma once

#include <string_view>

#include "base/result.h"
#include "snapshot/descriptor.h"

namespace moongate::snapshot {

/// Writes the bytes into a memfd and seals it against writing, growing and shrinking.
base::Result<Descriptor> write_sealed_memfd(std::string_view bytes);

/// A sealed memfd, mapped for reading as long as this lives.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { unmap(); }

  std::string_view bytes() const { return bytes_; }

 private:
  friend base::Result<MappedFile> map_memfd(int fd);
  void unmap();
  std::string_view bytes_;
};

/// Maps a memfd; the descriptor may be closed afterwards. Refuses one that is not sealed: its bytes could
/// change or vanish under the reader.
base::Result<MappedFile> map_memfd(int fd);

}  // namespace moongate::snapshot
