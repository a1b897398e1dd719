// SPDX-License-Identifier: Apache-2.0
// Names of certificates that are wrong in the store: as long as they are, no handshake for them succeeds,
// because any other certificate may ask less of clients.
#pragma once

#include <string>
#include <string_view>

namespace moongate::control {

/// The names that can be read from the stored JSON of an `ssls` resource, as a JSON list for the snapshot;
/// those that come from the environment as references, which workers resolve. Empty when there are none, or
/// it is no certificate for handshakes with clients, or switched off.
std::string names_to_close(std::string_view json);

}  // namespace moongate::control
