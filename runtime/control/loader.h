// SPDX-License-Identifier: Apache-2.0
// From files to a checked snapshot: reads the configuration, finds the plugins, asks the validator, writes
// the blob. What `moongate check`, `moongate start` and every reload do alike.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/document.h"
#include "config/encrypted_fields.h"
#include "control/known_good.h"
#include "control/load_notes.h"
#include "control/resource_checks.h"
#include "control/resource_store.h"
#include "control/validator.h"
#include "snapshot/blob.h"

namespace moongate::control {

struct LoadOptions {
  std::vector<std::string> config_paths;
  std::string lua_root;
  const ValidatorFactory* make_validator = nullptr;
  KnownGood* known = nullptr;                  // from load to load; null: everything is checked
  SnapshotChecker* checker = nullptr;          // from load to load; null: one of its own
  const ResourceStore::Map* stored = nullptr;  // made through the Admin API
  /// Given: finds them once the settings are known, which say where they are.
  std::function<base::Result<const ResourceStore::Map*>(const config::Settings&)> find_stored = nullptr;
  /// Of stored resources by name: whether something wrong with them quarantines them, and does not refuse the
  /// load.
  std::function<bool(const std::string& name)> is_tolerated = nullptr;
};

/// Where the records of stored resources are said to be.
inline constexpr std::string_view kStoredPlace = "Admin API";
/// Behind every route of a file; equal ones are tried in the order of their ids, as etcd has them.
inline constexpr uint32_t kStoredOrder = uint32_t{1} << 30;

/// The folder below DIR that keeps what the Admin API has made, or what the shared store had.
std::string store_folder(const config::EtcdSettings& settings);

/// The configuration's form of a stored resource: what the API adds for its clients is left out.
base::Result<config::Resource> make_resource(const ResourceKey& key, std::string_view json);

/// Of the plugins that the validator has loaded.
base::Result<config::EncryptedFields> read_encrypted_fields(Validator& validator);

/// Why a resource of the shared store is not served: a file has one of the same id.
std::string taken_by_file(const std::string& place);

/// What a load gave. Either errors, or a blob.
struct Loaded : LoadNotes {
  std::vector<std::string> errors;  // "file:line: field: what is wrong; what would be right"
  std::set<std::string> wrong;      // names of stored resources with something wrong that was tolerated
  std::string blob;                 // with number 0: see number_blob
  snapshot::Hash128 hash;
  config::Settings settings;
  std::array<size_t, config::kKindCount> counts{};
  size_t plugin_count = 0;
  // The trees it was read into. Freeing them takes its time: let go of this when nobody waits any more.
  std::shared_ptr<void> trees;

  bool ok() const { return errors.empty(); }
};

inline constexpr size_t kErrorsMax = 100;  // more are summed up

Loaded load_configuration(const LoadOptions& options);

/// The same content with a number, a time and a reason. The blob is one that was checked, or made here.
base::Result<std::string> number_blob(std::string_view blob, uint64_t number, const std::string& reason);

}  // namespace moongate::control
