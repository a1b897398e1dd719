// SPDX-License-Identifier: Apache-2.0
// How configuration files become one. Objects merge by key and the later file wins; null deletes; lists of
// resources merge by id; every other list is replaced.
//
// The id of a resource is its `id`, or a consumer's `username`. One that has neither is named by its
// position, `arr_<n>`, counted from 1 within the list of its own file, as APISIX names it; in every file but
// the first the file's name stands before it (`shop.arr_2`). So another file, added or removed, changes no
// id, and resources without an id never merge with each other.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/value.h"
#include "config/places.h"

namespace moongate::config {

/// True for `routes`, `services` and the other top-level lists whose items have ids.
bool is_resource_list(std::string_view key);

/// The id that a resource carries, a number as text; empty when it has none.
std::string id_of(const base::Value& resource);

/// Gives the resources of one file their ids, and refuses a repeated one, naming both places. `prefix` goes
/// before `arr_<n>`.
base::Result<void> assign_ids(base::Value& root, std::string_view prefix, const Places& places);

/// Merges two objects as overlays are: by key, however deep; null deletes, lists are replaced.
void merge_objects(base::Value& base, base::Value later);

/// Merges `later` into `base`; both are whole files with ids assigned.
void merge_files(base::Value& base, base::Value later);

}  // namespace moongate::config
