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
  uint64_t print = 0;  // of what the context was made from
  std::shared_ptr<const tls::ServerContext> context;
  std::vector<std::shared_ptr<const router::Regex>> skip_mtls;  // paths that need no client certificate
};

struct Snapshot {
  uint64_t number = 0;
  std::string hash;
  std::shared_ptr<const config::Settings> settings;
  std::string plugin_attributes_json = "{}";

  std::unique_ptr<const router::Router> router;
  std::vector<std::shared_ptr<const Route>> routes;  // a match's target is an index here
  RouteIndex route_index;
  PluginSet global_plugins;
  std::unordered_map<std::string, std::shared_ptr<upstream::Upstream>> upstreams;
  std::unordered_map<std::string, uint64_t> upstream_hashes;

  std::vector<std::shared_ptr<const Consumer>> consumers;
  std::vector<CredentialRef> credentials;
  std::vector<uint32_t> first_credentials;  // of each consumer, or kNoCredential
  ConsumerIndex consumer_index;
  std::unordered_map<std::string, uint32_t> consumer_by_name;
  std::unordered_map<std::string, std::vector<uint32_t>> credentials_by_plugin;

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
  std::vector<std::shared_ptr<const ScriptSource>> plugin_sources;
  std::vector<std::shared_ptr<const ScriptSource>> library_sources;
  uint64_t code_hash = 0;  // of all plugins and libraries
  int script_handle = 0;   // Lua's handle for the plugins of this snapshot

  /// True when the consumer still has the credential, unchanged.
  bool has_credential(std::string_view username, uint64_t print) const;
};

using Pin = std::shared_ptr<const Snapshot>;

}  // namespace moongate::snapshot
