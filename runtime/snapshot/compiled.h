// SPDX-License-Identifier: Apache-2.0
// The configuration as requests use it. Everything here is immutable once its snapshot serves, except the
// handles that other parts leave on it (a balancer's turn, a plugin chain built at first use).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/shared_list.h"
#include "router/router.h"
#include "upstream/upstream.h"

namespace moongate::snapshot {

/// One plugin on one resource: its configuration is handed to Lua as text when it is first needed.
struct PluginConf {
  std::string name;
  std::shared_ptr<const std::string> conf_json;
  std::string resource_key;  // "/apisix/routes/1": where the conf was written
  std::string resource_version;
};

/// A chain of hooks in Lua, named by a small integer; released with the last owner.
struct ChainHandle {
  int handle = 0;        // 0: it could not be built
  uint32_t phases = 0;   // bit per exchange::Phase that has hooks
  uint32_t traffic = 0;  // bits of exchange::traffic
  std::string reason;    // why it could not be built
};

/// What Lua needs to build a chain, and the handle under which it keeps it.
struct PluginSet {
  std::vector<PluginConf> plugins;
  std::string conf_type;  // "route", "route&service", "global_rule"
  std::string conf_id;    // "1", "1&2"
  std::string conf_version;
  uint64_t dependencies = 0;                   // of everything the chain is made from: confs, code, parents
  mutable std::shared_ptr<ChainHandle> chain;  // null until the first request
};

/// What a route was made from. When none of it changed, the next snapshot takes the route as it is.
struct RouteOrigin {
  uint64_t record_hash = 0;
  uint64_t service_hash = 0;
  uint64_t plugin_config_hash = 0;
  std::string upstream_id;
  std::string plugin_config_id;
  std::shared_ptr<const router::RouteSpec> spec;
};

struct Route {
  std::string id;
  std::string name;
  std::string service_id;
  std::string service_name;
  std::string body_json;  // the resource as it was given
  PluginSet plugins;      // service, plugin_config and route merged
  std::shared_ptr<upstream::Upstream> upstream;
  upstream::Timeouts timeouts;  // route over service over upstream
  bool is_websocket_enabled = false;
  bool has_upstream_of_service = false;
  std::string filter_function;                 // Lua source, or empty
  mutable std::shared_ptr<int> filter_handle;  // Lua's, released with the route; null until it is first asked
  /// Not 0: the route cannot serve; this status and reason answer instead.
  uint16_t fault_status = 0;
  std::string fault_reason;
  mutable std::shared_ptr<void> metrics;  // the worker's counters for this route
  RouteOrigin origin;
};

using RouteList = base::SharedList<std::shared_ptr<const Route>>;

/// Finds routes by id: a table of indices into a snapshot's list, in one piece of memory.
class RouteIndex {
 public:
  using Routes = RouteList;
  static constexpr uint32_t kNone = UINT32_MAX;

  /// Makes room; forgets what is there.
  void reserve(size_t count);
  /// The route at `index` of `routes`; not more of them than reserved.
  void add(const Routes& routes, uint32_t index);
  uint32_t find(const Routes& routes, std::string_view id) const;

 private:
  size_t slot_of(const Routes& routes, std::string_view id) const;
  std::vector<uint32_t> slots_;
};

struct Consumer {
  std::string username;
  std::string group_id;
  std::string body_json;
  std::string version;
  std::vector<PluginConf> plugins;  // group and consumer merged; credentials (auth plugins) too
};

/// One way to prove to be a consumer: an auth plugin's conf on a consumer or on one of its credentials.
struct CredentialRef {
  uint32_t consumer;          // index into Snapshot::consumers
  std::string credential_id;  // empty: on the consumer itself
  std::shared_ptr<const std::string> conf_json;
  uint64_t print;  // of all that makes it what it is; never 0
  uint32_t next;   // another one of the same consumer, or kNoCredential
};
constexpr uint32_t kNoCredential = UINT32_MAX;

/// Finds consumers by what they show: (plugin, attribute, value) to a credential.
class ConsumerIndex {
 public:
  void add(std::string_view plugin, std::string_view attribute, std::string_view value, uint32_t credential);
  /// Index of the credential, or -1.
  int64_t find(std::string_view plugin, std::string_view attribute, std::string_view value) const;
  /// Forgets a few; true when none is left. For the end of a snapshot, in slices.
  bool drop_some(size_t count);

 private:
  struct Space {  // what one plugin looks for by one attribute; there are few
    std::string plugin, attribute;
    std::deque<std::string> values;  // what the map's keys point at
    std::unordered_map<std::string_view, uint32_t> credentials;
  };
  Space* find_space(std::string_view plugin, std::string_view attribute) const;
  std::vector<std::unique_ptr<Space>> spaces_;
};

}  // namespace moongate::snapshot
