// SPDX-License-Identifier: Apache-2.0
// What a schema cannot say about a configuration, found with the same code that the data path runs:
// references to secrets, route conditions, credentials that two consumers share, and whatever else would make
// a snapshot's resource answer 503.
#pragma once

#include <string_view>

#include "config/document.h"
#include "control/findings.h"
#include "snapshot/blob.h"
#include "snapshot/snapshot.h"

namespace moongate::control {

/// `$env://` and `$secret://` in plugin confs.
void check_references(const config::Document& document, Findings& findings);

/// Warns about references to secret managers that the document does not have.
void check_managers(const config::Document& document, Findings& findings);

/// Parses each resource as a worker will and looks at each route's conditions; leaves out what `findings`
/// concerns already.
void check_resources(const config::Document& document, Findings& findings);

/// Whether check_resources() has looked at everything that a worker's compiler could complain about, so that
/// the resource need not be compiled to be sure of it. `json` is its body.
bool is_judged_whole(const config::Resource& resource, std::string_view json);

/// What a consumer or credential shows, with references resolved: plugin, text, and where it stands.
struct ShownCredential {
  std::string plugin;
  std::string text;
  std::vector<std::string> path;
};
std::vector<ShownCredential> credentials_of(const config::Resource& resource);

/// Two consumers that show the same key, user name or token: which of them a request is from would be chance.
/// The one of a file is right, else the one that was made first: whoever shares a store judges alike.
void check_credentials(const config::Document& document, Findings& findings);

/// Compiles snapshots to see whether a worker could. What check_resources has no rule for is found here, with
/// less detail.
///
/// Owner:   whoever checks again and again: whom TLS trusts is kept from check to check, because reading the
/// system's certificates takes longer than everything else about a small change.
class SnapshotChecker {
 public:
  base::Result<void> check(snapshot::BlobView view, const config::Document& document, Findings& findings);

 private:
  using Contexts = decltype(snapshot::Surroundings::client_contexts);
  static constexpr size_t kContextsKept = 16;
  Contexts contexts_to_keep(const Contexts& made) const;

  snapshot::Pin trust_;  // settings, whom TLS trusts and how, of the last snapshot, and nothing else of it
};

}  // namespace moongate::control
