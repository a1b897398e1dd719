// SPDX-License-Identifier: Apache-2.0
// Kong's declarative format, 3.0, translated into the sections of our own. One translator serves both a file
// that is loaded as it is and `moongate convert kong`. What it makes keeps the places of what it was made
// from, so that whatever is found wrong later still names the line of Kong's file.
//
//   kong_model.h     what the file holds: nested and flat entities, references resolved
//   kong_upstreams.h services and upstreams -> upstreams      kong_routes.h    routes, in Kong's order
//   kong_plugins.h   plugins, by a table                      kong_consumers.h consumers and credentials
#pragma once

#include "config/dialect.h"

namespace moongate::config {

using KongLoss = DialectLoss;
using KongFinding = DialectFinding;
using KongFindings = DialectFindings;
using KongTranslation = DialectTranslation;

/// True for the tree of a file in Kong's format: it has `_format_version`.
bool is_kong_file(const base::Value& root);

KongTranslation translate_kong(const base::Value& root, const Places& places);

}  // namespace moongate::config
