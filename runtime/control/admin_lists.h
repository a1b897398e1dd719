// SPDX-License-Identifier: Apache-2.0
// What reads of the Admin API answer with: one resource, a list with its filters and pages, everything. What
// files have stands beside what the API has made.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/admin_resources.h"
#include "control/http_server.h"
#include "snapshot/blob.h"

namespace moongate::control {

using AdminArguments = std::map<std::string, std::string>;

/// The resources of a store and of a snapshot.
class AdminEntries {
 public:
  AdminEntries(const ResourceStore& store, const snapshot::BlobView& served)
      : store_(store), served_(served) {}

  HttpResponse get(const ResourceKey& key) const;
  /// `parent` is the consumer of credentials, else empty.
  HttpResponse list(config::Kind kind, const std::string& parent, const AdminArguments& arguments) const;
  /// What the API has made, as lists by plural names with `<name>_conf_version`.
  base::Value everything() const;
  bool has(const ResourceKey& key) const { return find_record(key) != nullptr; }

 private:
  struct Entry {
    ResourceKey key;
    std::string_view json;
    uint64_t created_index = 0;
    uint64_t modified_index = 0;
    bool is_stored = false;
    std::string_view marked = {};  // the resource in the snapshot, when some of its fields are encrypted
  };
  const snapshot::Record* find_record(const ResourceKey& key) const;
  bool is_gone(const ResourceKey& key, const snapshot::Record& record) const;
  Entry make_entry(const ResourceKey& key, std::string_view body) const;
  std::vector<Entry> collect(config::Kind kind, const std::string& parent) const;
  static void append(std::string& out, const Entry& entry);
  static base::Value value_of(const Entry& entry);

  const ResourceStore& store_;
  const snapshot::BlobView& served_;
};

}  // namespace moongate::control
