// SPDX-License-Identifier: Apache-2.0
// Resources of files that refer to what the store has wrong, or what a shared one does not have yet. Their
// file is not to blame for that: they are held in quarantine, closed, until what they wait for is there.
// Apart from references.h, which only knows who refers to whom.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/document.h"
#include "control/findings.h"
#include "control/references.h"

namespace moongate::control {

/// What files refer to and the store may have right another time goes to `document->absent`, so that who
/// refers to it is judged for everything else. `findings` know what is in quarantine already.
void note_absent(const Findings& findings, config::Document* document);

/// Quarantines the files' resources for which something is absent; those that belong to a consumer which is
/// not served along with it.
void hold_referring(const config::Document& document, Findings& findings);

/// Whether a complaint about `path` of a file's resource is about a certificate that the store has: of which
/// kind it is, and whether it is on, is not the file's mistake.
bool is_about_stored_certificate(const config::Document& document, const config::Resource& resource,
                                 const std::vector<std::string>& path);

/// Why a resource is held: "upstream_id: upstreams/u is in quarantine, and this with it".
std::string describe_held(const ResourceKey& missing, bool is_quarantined);

}  // namespace moongate::control
