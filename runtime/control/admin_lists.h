// SPDX-License-Identifier: Apache-2.0
// What reads of the Admin API answer with: one resource, a list with its filters and pages, everything. What
// files have stands beside what the API has made.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/encrypted_fields.h"
#include "control/admin_resources.h"
#include "control/http_server.h"
#include "snapshot/blob.h"

namespace moongate::control {

using AdminArguments = std::map<std::string, std::string>;

/// Which fields are encrypted, told only when somebody asks; null when nobody knows.
using AskFields = std::function<const config::EncryptedFields*()>;

/// The resources of a store and of a snapshot.
class AdminEntries {
 public:
  /// `ask_fields` is for what has a fault: the snapshot, which marks encrypted fields, has not got that.
  AdminEntries(const ResourceStore& store, const snapshot::BlobView& served, const AskFields& ask_fields)
      : store_(store), served_(served), ask_fields_(ask_fields) {}

  HttpResponse get(const ResourceKey& key) const;
  /// `parent` is the owner of what has one, else empty.
  HttpResponse list(config::Kind kind, const std::string& parent, const AdminArguments& arguments) const;
  /// The list as the version before had it: all of them, without filters and pages.
  HttpResponse directory(config::Kind kind, const std::string& parent) const;
  /// What the API has made, as lists by plural names with `<name>_conf_version`.
  base::Value everything() const;
  bool has(const ResourceKey& key) const { return find_record(key) != nullptr || is_left_out(key); }
  bool has_any(config::Kind kind, const std::string& parent) const { return !collect(kind, parent).empty(); }

 private:
  struct Entry {
    ResourceKey key;
    std::string_view json;
    uint64_t created_index = 0;
    uint64_t modified_index = 0;
    bool is_stored = false;
    std::string_view marked = {};  // the resource in the snapshot, when some of its fields are encrypted
    bool is_wrong = false;         // and something else is served for it
  };
  const snapshot::Record* find_record(const ResourceKey& key) const;
  bool is_left_out(const ResourceKey& key) const;
  bool is_gone(const ResourceKey& key, const snapshot::Record& record) const;
  Entry make_entry(const ResourceKey& key, std::string_view body) const;
  std::vector<Entry> collect(config::Kind kind, const std::string& parent) const;
  void append(std::string& out, const Entry& entry) const;
  void append_all(std::string& out, const std::vector<Entry>& entries, size_t first, size_t last) const;
  base::Value value_of(const Entry& entry) const;

  const ResourceStore& store_;
  const snapshot::BlobView& served_;
  const AskFields& ask_fields_;
};

}  // namespace moongate::control
