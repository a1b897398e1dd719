// SPDX-License-Identifier: Apache-2.0
// The last snapshots on disk, DIR/snapshots/NNNNNNNN.snap, and a file `current` that names the one in use:
// what a rollback goes back to, and what a start without its source serves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "snapshot/hash.h"

namespace moongate::snapshot {

class BlobView;

struct StoredSnapshot {
  uint64_t number = 0;
  Hash128 hash;
  uint64_t made_at_ms = 0;
  std::string reason;
};

/// A folder of blobs.
///
/// Owner:   one control process writes; anybody may read. Files appear by rename, so that a reader never sees
/// half of one. Fails:   kIo; kNotFound for a number that is not there; kInvalid for a damaged file. One bad
/// file spoils only itself.
class Store {
 public:
  static constexpr size_t kKept = 16;

  /// Makes the folder where it is missing. Damaged files are skipped with a warning in the log.
  static base::Result<Store> open(const std::string& directory);

  /// Writes the blob, makes it current and drops the oldest beyond kKept.
  base::Result<void> save(std::string_view blob, base::Durability durability = base::Durability::kSynced);
  /// The same for one that was checked.
  base::Result<void> save(const BlobView& view, base::Durability durability);

  /// By number, oldest first.
  const std::vector<StoredSnapshot>& list() const { return list_; }
  /// 0 when there is none.
  uint64_t current() const { return current_; }
  /// The largest number ever seen here; a new snapshot gets the next.
  uint64_t last_number() const { return last_number_; }
  /// The newest before the current one whose content differs from it, or null.
  const StoredSnapshot* find_previous() const;

  /// The bytes of a snapshot, checked.
  base::Result<std::string> load(uint64_t number) const;
  /// The same for a reader who wants no other: the rest of the folder is not looked at.
  static base::Result<std::string> load_from(const std::string& directory, uint64_t number) {
    return Store(directory + "/snapshots").load(number);
  }
  /// The current one, or else the newest that is whole.
  base::Result<std::string> load_current() const;

 private:
  explicit Store(std::string folder) : folder_(std::move(folder)) {}
  std::string path_of(uint64_t number) const;
  base::Result<void> scan();
  void drop_oldest();

  std::string folder_;
  std::vector<StoredSnapshot> list_;
  uint64_t current_ = 0;
  uint64_t last_number_ = 0;
};

}  // namespace moongate::snapshot
