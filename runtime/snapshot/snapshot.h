// SPDX-License-Identifier: Apache-2.0
// A snapshot: everything that decides what happens to a request, immutable and numbered. A request pins the
// one it began with and runs to its end on it.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/settings.h"
#include "router/regex.h"
#include "snapshot/compiled.h"
#include "snapshot/hash.h"
#include "tls/client_context.h"
#include "tls/server_names.h"

namespace moongate::snapshot {

/// Lua source that travels with the snapshot.
struct ScriptSource {
  std::string name;  // module name: "key-auth" for plugins, "my.lib" for libraries
  std::string path;  // where it was read, for error messages
  std::string text;
  uint64_t hash = 0;
  bool is_shipped = false;  // comes with the gateway: sees no library of the user's
};

/// One of the `ssls`.
struct ServerCertificate {
  uint64_t print = 0;                                           // of what the context was made from
  std::shared_ptr<const tls::ServerContext> context;            // null for one that is issued
  std::shared_ptr<tls::AwaitedContext> awaited;                 // null for others
  std::vector<std::shared_ptr<const router::Regex>> skip_mtls;  // paths that need no client certificate
};

/// Everything but the routes. Shared by snapshots that differ in routes only.
struct Surroundings {
  Hash128 print;  // of the records it was made from
  std::shared_ptr<const config::Settings> settings;
  std::string plugin_attributes_json = "{}";
  PluginSet global_plugins;
  std::unordered_map<std::string, std::shared_ptr<upstream::Upstream>> upstreams;
  std::unordered_map<std::string, uint64_t> upstream_hashes;

  std::vector<std::shared_ptr<const Consumer>> consumers;
  std::vector<CredentialRef> credentials;
  std::vector<uint32_t> first_credentials;  // of each consumer, or kNoCredential
  ConsumerIndex consumer_index;
  std::unordered_map<std::string, uint32_t> consumer_by_name;
  std::unordered_map<std::string, std::vector<uint32_t>> credentials_by_plugin;
  bool has_managed_credentials = false;  // one of them refers to a secret

  std::shared_ptr<const tls::ServerNames> server_names;
  std::unordered_map<std::string, ServerCertificate> server_contexts;  // by id

  /// A certificate for the gateway to show: an `ssls` resource of type client.
  struct ClientCertificate {
    uint64_t hash = 0;  // of the resource
    tls::CertificatePair pair;
    std::string fault;  // not empty: why it cannot be used
  };
  std::unordered_map<std::string, ClientCertificate> client_certificates;  // by id
  std::string trust_text;                                                  // what `trust` was made from
  std::shared_ptr<const tls::TrustStore> trust;
  std::unordered_map<std::string, std::shared_ptr<const tls::ClientContext>> client_contexts;  // by key

  std::unordered_map<std::string, std::string> plugin_metadata;  // plugin name to JSON
  std::unordered_map<std::string, std::string> secrets;          // "vault/1" to JSON
  std::vector<std::shared_ptr<const ScriptSource>> plugin_sources;
  std::vector<std::shared_ptr<const ScriptSource>> library_sources;
  uint64_t code_hash = 0;  // of all plugins and libraries
};

/// Where the route of a record is.
struct RouteEntry {
  static constexpr uint32_t kLeftOut = uint32_t{1} << 31;
  uint64_t print;  // of the record
  uint32_t order;  // of the record
  uint32_t slot;   // in Snapshot::routes; with kLeftOut: in Snapshot::left_out
};

/// What belongs to the routes is here by itself; all else is in Surroundings and has its name here too. What
/// is added belongs there, or else Compiler::patch_route() has to know of it.
struct Snapshot {
  explicit Snapshot(std::shared_ptr<Surroundings> shared = std::make_shared<Surroundings>())
      : around(std::move(shared)) {}
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  uint64_t number = 0;
  std::string hash;

  std::unique_ptr<const router::Router> router;
  RouteList routes;                     // a match's target is an index here; null where a route was
  std::vector<RouteEntry> route_order;  // of all records of routes, as they come in the blob
  std::vector<std::string> left_out;    // ids of those that are switched off or cannot be matched
  int script_handle = 0;                // Lua's handle for the plugins of this snapshot

  std::shared_ptr<Surroundings> around;
  using ClientCertificate = Surroundings::ClientCertificate;
  std::shared_ptr<const config::Settings>& settings = around->settings;
  std::string& plugin_attributes_json = around->plugin_attributes_json;
  PluginSet& global_plugins = around->global_plugins;
  decltype(Surroundings::upstreams)& upstreams = around->upstreams;
  decltype(Surroundings::upstream_hashes)& upstream_hashes = around->upstream_hashes;
  decltype(Surroundings::consumers)& consumers = around->consumers;
  decltype(Surroundings::credentials)& credentials = around->credentials;
  decltype(Surroundings::first_credentials)& first_credentials = around->first_credentials;
  ConsumerIndex& consumer_index = around->consumer_index;
  decltype(Surroundings::consumer_by_name)& consumer_by_name = around->consumer_by_name;
  decltype(Surroundings::credentials_by_plugin)& credentials_by_plugin = around->credentials_by_plugin;
  std::shared_ptr<const tls::ServerNames>& server_names = around->server_names;
  decltype(Surroundings::server_contexts)& server_contexts = around->server_contexts;
  decltype(Surroundings::client_certificates)& client_certificates = around->client_certificates;
  std::string& trust_text = around->trust_text;
  std::shared_ptr<const tls::TrustStore>& trust = around->trust;
  decltype(Surroundings::client_contexts)& client_contexts = around->client_contexts;
  decltype(Surroundings::plugin_metadata)& plugin_metadata = around->plugin_metadata;
  decltype(Surroundings::plugin_sources)& plugin_sources = around->plugin_sources;
  decltype(Surroundings::library_sources)& library_sources = around->library_sources;
  bool& has_managed_credentials = around->has_managed_credentials;
  decltype(Surroundings::secrets)& secrets = around->secrets;
  uint64_t& code_hash = around->code_hash;

  /// True when the consumer still has the credential, unchanged.
  bool has_credential(std::string_view username, uint64_t print) const;

  /// Calls `look` with each route, in the order of their records.
  template <class Look>
  void each_route(Look look) const {
    for (const RouteEntry& entry : route_order) {
      if ((entry.slot & RouteEntry::kLeftOut) == 0) look(*routes[entry.slot]);
    }
  }
};

using Pin = std::shared_ptr<const Snapshot>;

}  // namespace moongate::snapshot
