// SPDX-License-Identifier: Apache-2.0
// What is closed along with a resource that is wrong in the store. No handshake for a certificate's names
// succeeds, because any other certificate may ask less of clients; and a service's routes are closed for its
// hosts, and not for those of all others.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/resource_store.h"
#include "snapshot/blob.h"

namespace moongate::control {

/// A JSON list for the snapshot; empty when nothing is to be closed. Of an `ssls` resource the names that can
/// be read from its stored JSON, if it is a certificate for handshakes with clients and not switched off;
/// those that come from the environment as references, which workers resolve. Of a service its hosts, and an
/// empty list where these cannot be read.
std::string names_to_close(const ResourceKey& key, std::string_view json);

/// The kind of their record; nothing for kinds of which nothing is closed.
std::optional<snapshot::RecordKind> closed_kind(config::Kind kind);

}  // namespace moongate::control
