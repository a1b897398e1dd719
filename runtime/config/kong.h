// SPDX-License-Identifier: Apache-2.0
// Kong's declarative format, 3.0, translated into the sections of our own. One translator serves both a file
// that is loaded as it is and `moongate convert kong`. What it makes keeps the places of what it was made
// from, so that whatever is found wrong later still names the line of Kong's file.
//
//   kong_model.h     what the file holds: nested and flat entities, references resolved
//   kong_upstreams.h services and upstreams -> upstreams      kong_routes.h    routes, in Kong's order
//   kong_plugins.h   plugins, by a table                      kong_consumers.h consumers and credentials
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/value.h"
#include "config/places.h"

namespace moongate::config {

/// What a finding means for the configuration it is about.
enum class KongLoss : uint8_t {
  kNote,     // it works, a little differently
  kLost,     // it does not work here; what was made of it fails closed
  kRefused,  // nothing can stand for it: a gateway does not start with it
};

struct KongFinding {
  KongLoss loss = KongLoss::kNote;
  std::string text;  // "path:line: field: what; what to do"
};

struct KongTranslation {
  base::Value root = base::Value::object();
  std::vector<KongFinding> findings;
};

/// True for the tree of a file in Kong's format: it has `_format_version`.
bool is_kong_file(const base::Value& root);

KongTranslation translate_kong(const base::Value& root, const Places& places);

}  // namespace moongate::config
