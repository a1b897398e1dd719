// SPDX-License-Identifier: Apache-2.0
// Single changes of what is served: judges each as a load of everything would, and makes the next snapshot
// from the present one, so that one route among 10,000 costs little more than itself. Apart from loader.h,
// which begins with files.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/loader.h"
#include "control/releases.h"
#include "control/resource_store.h"
#include "control/validator.h"
#include "net/event_loop.h"
#include "snapshot/blob.h"

namespace moongate::control {

/// Somebody who refers to a resource.
struct Dependent {
  ResourceKey key;
  bool is_by_plugin = false;  // from within a plugin's conf
  bool is_stored = false;     // made through the Admin API itself
};

/// A batch of changes on top of a snapshot.
///
/// Owner:   control; lives as long as it and keeps a validator warm between batches.
/// Fails:   add() with what is wrong with that change, which is left out then; begin() and finish() with why
/// there is no batch.
class LiveConfiguration {
 public:
  LiveConfiguration(std::string lua_root, const ValidatorFactory& make_validator, SnapshotChecker& checker)
      : lua_root_(std::move(lua_root)), make_validator_(make_validator), checker_(checker) {}

  /// Forgets the changes of the batch before; the bytes of `served` must outlive this batch. Whatever has a
  /// fault among `stored` stays in quarantine.
  base::Result<void> begin(const snapshot::BlobView& served, const ResourceStore::Map& stored);
  /// Between what clients send and what is stored, under `data_encryption.keyring`.
  base::Result<void> encrypt(const ResourceKey& key, base::Value* stored);
  base::Result<void> decrypt(const ResourceKey& key, base::Value* stored);
  /// One resource becomes what `json` says. What is odd about it goes to `warnings`.
  base::Result<void> put(const ResourceKey& key, std::string_view json, std::vector<std::string>* warnings);
  /// The same of what a shared store has already. Gives those that are wrong now because it was made before
  /// them and shows the same key as they do; they are to be put again.
  base::Result<std::vector<ResourceKey>> put_shared(const ResourceKey& key, std::string_view json,
                                                    uint64_t created_index);
  /// One resource goes. Who refers to it is quarantined.
  void remove(const ResourceKey& key);
  /// What the store has of that name goes: nothing else does where a file has one. Whether it was served.
  bool remove_stored(const ResourceKey& key);
  /// One that is not served as it is wanted, or not at all; without a reason it is none of them any more.
  void quarantine(const ResourceKey& key, const std::string& reason);
  /// What is closed along with a resource that is wrong: names_to_close(). Nothing any more when empty, or
  /// once it is put.
  void close_names(const ResourceKey& key, const std::string& names);
  /// The next snapshot.
  base::Result<std::string> finish(const snapshot::BlobWriter::About& about);
  /// The changes were not made, whatever was found about credentials on the way.
  void forget() { is_credentials_known_ = false; }
  /// What has come out of quarantine with the last snapshot that was made here.
  Releases& releases() { return releases_; }
  /// Gives back its memory; the next batch loads all again.
  void forget_validator() { validator_.reset(); }

  /// Whether others write to the store as well.
  bool is_shared() const { return settings_.etcd.is_used(); }
  /// Canonical JSON of a resource as it is with the changes so far.
  std::optional<std::string> find_body(const ResourceKey& key) const;
  /// "file:line" when a file has it, else empty.
  std::string place_of(const ResourceKey& key) const;
  std::vector<Dependent> find_dependents(const ResourceKey& key) const;
  /// What files have that belongs to `owner`.
  std::vector<ResourceKey> find_owned_in_files(const ResourceKey& owner) const;
  /// Folders of plugins that came with this batch.
  const std::vector<std::string>& added_folders() const { return added_folders_; }
  const base::FileStamps& added_stamps() const { return added_stamps_; }

 private:
  using Identity = std::pair<std::string, std::string>;  // plugin and credential

  base::Result<void> load_validator();
  base::Result<const config::EncryptedFields*> encrypted_fields();
  base::Result<void> add_missing_plugins(const config::Resource& resource);
  base::Result<void> check(const config::Resource& resource, std::vector<std::string>* warnings);
  base::Result<void> check_words(const config::Resource& resource);
  base::Result<void> put_resource(config::Resource resource, std::vector<std::string>* warnings);
  base::Result<void> check_credential_owner(const config::Resource& resource);
  bool goes_before(const config::Resource& resource, const ResourceKey& owner) const;
  base::Result<void> try_compile(const config::Resource& resource, config::Document* document);
  void index_credentials();
  void note_credentials(const config::Resource& resource);
  void drop_credentials(const ResourceKey& key);
  void add_with_referred(const ResourceKey& key, std::map<ResourceKey, std::string>* bodies) const;
  config::Document context_of(const config::Resource& resource) const;
  void review_quarantine(std::map<std::string, std::string>* quarantined);
  void drop_unused_code();
  void review_files(std::map<std::string, std::string>* quarantined);
  bool is_taken(const ResourceKey& key) const;
  std::optional<std::string> why_held(const ResourceKey& key,
                                      const std::map<std::string, std::string>& quarantined);
  base::Result<void> release(const ResourceKey& key, const std::string& json);
  template <class Look>
  void each_body(config::Kind kind, Look look) const;

  std::string lua_root_;
  const ValidatorFactory& make_validator_;
  SnapshotChecker& checker_;
  std::unique_ptr<Validator> validator_;
  uint64_t code_key_ = 0;                          // of what the validator has loaded
  std::optional<config::EncryptedFields> fields_;  // of its plugins, once they were asked for
  config::Settings settings_;
  snapshot::BlobView view_;
  Sources added_;  // plugins that the snapshot does not have yet
  std::vector<std::string> added_folders_;
  base::FileStamps added_stamps_;
  std::map<ResourceKey, std::optional<std::string>> changes_;  // canonical bodies
  std::map<std::string, std::string> newly_quarantined_;
  std::map<std::string, std::string> wanted_otherwise_;  // in quarantine whatever is served for them
  std::map<ResourceKey, std::string> closed_names_;      // as far as they change
  Releases releases_;
  const ResourceStore::Map* stored_ = nullptr;
  std::map<ResourceKey, uint64_t> created_;  // of what this batch has of a shared store
  std::set<ResourceKey> displaced_;          // by the last that was put
  bool is_credentials_known_ = false;
  snapshot::Hash128 credentials_of_;  // the snapshot that the two below are about
  std::map<Identity, ResourceKey> owners_;
  std::map<ResourceKey, std::vector<Identity>> shown_;
};

}  // namespace moongate::control
