// SPDX-License-Identifier: Apache-2.0
// Resources that were made through the Admin API, on disk: what was acknowledged is there after whatever
// happens to the process or the machine. Apart from snapshot/store.h, which keeps what was served, because
// this is a source like the files are. Where several gateways share an etcd, the same files keep what it had,
// for a start without it.
//
//   DIR/store/base   every resource at some revision; replaced whole, by rename
//   DIR/store/log    the changes since; appended and synced before anybody is told that they are made
//
// Both are frames:   0 4 "MGR1"   4 4 bytes of the payload   8 8 its hash   16 the payload, JSON
// {"revision": N, "snapshot": N, "changes": [{kind, id, value, created, modified, expires_ms, fault,
// stand_in}]}
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/document.h"
#include "snapshot/descriptor.h"

namespace moongate::control {

/// One resource as the API answers it.
struct StoredResource {
  std::string json;
  uint64_t created_index = 0;
  uint64_t modified_index = 0;
  uint64_t expires_at_ms = 0;  // since 1970; 0: never
  // Of a shared store, where others write what they like:
  std::string fault = {};     // not empty: why it is not served; without `json`, because it is no JSON object
  std::string stand_in = {};  // what is served instead; empty: nothing
  bool operator==(const StoredResource&) const = default;
};

using ResourceKey = std::pair<config::Kind, std::string>;

/// A resource that is to be as `value`, or gone.
struct StoredChange {
  ResourceKey key;
  std::optional<StoredResource> value;
};

/// The resources, and their files.
///
/// Owner:   control; one process writes. The one that checks the configuration at a start reads before that.
/// Fails:   kIo when it cannot be written: then nothing has changed, and after a failed sync nothing can any
///          more; kInvalid when a file is damaged elsewhere than at the end of the log, which a write that
///          never was acknowledged leaves and which is cut off.
class ResourceStore {
 public:
  static constexpr size_t kResourcesMax = 200'000;
  using Map = std::map<ResourceKey, StoredResource>;

  static base::Result<ResourceStore> open(const std::string& directory, const std::string& name = "store");
  /// What the files hold now, for whoever only looks: nothing is made or mended, an instance may run on them.
  static base::Result<Map> peek(const std::string& directory, const std::string& name);

  const Map& all() const { return resources_; }
  const StoredResource* find(const ResourceKey& key) const;
  /// Counts writes; each change has its own.
  uint64_t revision() const { return revision_; }
  /// The number of the snapshot that the last change was for.
  uint64_t last_snapshot() const { return last_snapshot_; }

  /// Makes the changes, for good when it returns. `revision` is that of the last one.
  base::Result<void> append(const std::vector<StoredChange>& changes, uint64_t revision, uint64_t snapshot);
  /// Makes the changes in memory only: for what is kept safely elsewhere.
  void take(const std::vector<StoredChange>& changes);
  /// Writes a new base when the log has grown enough for it to be worth the while.
  base::Result<void> compact_if_due();

 private:
  explicit ResourceStore(std::string folder) : folder_(std::move(folder)) {}
  base::Result<void> read_base();
  base::Result<void> read_log();
  base::Result<size_t> take_log(std::string_view bytes);
  base::Result<void> take_frame(std::string_view payload, const std::string& path);
  void apply(const StoredChange& change);
  base::Result<void> write_base();

  std::string folder_;
  snapshot::Descriptor log_;
  uint64_t log_size_ = 0;
  uint64_t base_size_ = 0;
  Map resources_;
  uint64_t revision_ = 0;
  uint64_t last_snapshot_ = 0;
  bool is_broken_ = false;
};

}  // namespace moongate::control
