// SPDX-License-Identifier: Apache-2.0
// Writes of the Admin API, several of them at once: each is applied to what is there and to those before it,
// judged, and either answered with what is wrong or made part of one change of snapshots.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/value.h"
#include "control/admin_resources.h"
#include "control/http_server.h"
#include "control/live_configuration.h"

namespace moongate::control {

/// Who asks, for the audit log.
struct AdminCaller {
  std::string name;  // of the key, or of the command
  std::string peer;
};

/// One write that was asked for.
struct AdminWrite {
  enum class Verb : uint8_t { kPut, kPost, kPatch, kDelete, kReplaceAll };
  Verb verb = Verb::kPut;
  AdminTarget target;
  base::Value body;
  bool is_forced = false;
  bool keeps_others = false;    // of kReplaceAll: what the body does not list stays
  std::set<config::Kind> kept;  // of kReplaceAll: what stays though the body does not list it
  bool is_waiting = true;       // for every worker to serve it
  bool is_expiry = false;       // control's own: the resource's time is over
  bool brings_code = false;     // of plugins that nobody used, in a round that was refused
  std::optional<double> ttl_s;
  std::string if_match;
  std::string actor;  // name of the key, for the audit log
  std::string peer;
  std::string digest;  // of kReplaceAll
  size_t size_bytes = 0;
  HttpServer::Answer answer;  // none for what control does by itself

  void give(HttpResponse response) const {
    if (answer) answer(std::move(response));
  }
};

/// What one write that is right does.
struct AdminEffect {
  const AdminWrite* write = nullptr;
  HttpResponse response;
  struct Change {
    ResourceKey key;
    std::string before;  // JSON; empty: it was not there
    std::string after;   // empty: it is gone
  };
  std::vector<Change> changes;
};

/// Applies writes in order.
///
/// Owner:   one job of control; the store and the configuration are control's.
/// Fails:   add() with the answer to the client; nothing of that write remains then.
class AdminBatch {
 public:
  /// `revision` is that of the store's last change.
  AdminBatch(const ResourceStore& store, LiveConfiguration& live, uint64_t now_ms, uint64_t revision)
      : store_(store), live_(live), now_ms_(now_ms), revision_(revision) {}

  std::optional<HttpResponse> add(const AdminWrite& write);

  const std::vector<AdminEffect>& effects() const { return effects_; }
  /// The store gave its changes these revisions and not those that were expected.
  void set_revisions(const std::map<ResourceKey, uint64_t>& revisions);
  /// For the store: the last state of each resource.
  std::vector<StoredChange> stored_changes() const;
  uint64_t revision() const { return revision_; }

 private:
  using Fault = std::optional<HttpResponse>;

  const StoredResource* find(const ResourceKey& key) const;
  Fault add_put(const AdminWrite& write, AdminEffect* effect);
  Fault add_patch(const AdminWrite& write, AdminEffect* effect);
  Fault add_delete(const AdminWrite& write, AdminEffect* effect);
  Fault add_replace_all(const AdminWrite& write, AdminEffect* effect);
  static Fault read_wanted(const base::Value& body, std::map<ResourceKey, base::Value>* wanted);
  Fault replace_one(const AdminWrite& write, const ResourceKey& key, base::Value value, AdminEffect* effect);
  Fault check_precondition(const AdminWrite& write, const StoredResource* present) const;
  Fault check_not_in_file(const ResourceKey& key) const;
  Fault check_not_used(const ResourceKey& key, bool is_forced) const;
  Fault choose_id(const AdminWrite& write, base::Value* body, std::string* id) const;
  Fault put_value(const AdminWrite& write, const ResourceKey& key, const base::Value& value,
                  AdminEffect* effect);
  void remove_value(const ResourceKey& key, AdminEffect* effect);
  std::vector<ResourceKey> owned_by(const ResourceKey& owner) const;
  Fault check_owner_is_there(const AdminWrite& write) const;
  Fault bind_decoration(const ResourceKey& key, base::Value* value) const;

  const ResourceStore& store_;
  LiveConfiguration& live_;
  uint64_t now_ms_;
  uint64_t revision_;
  std::map<ResourceKey, std::optional<StoredResource>> changed_;
  std::vector<AdminEffect> effects_;
};

}  // namespace moongate::control
