// SPDX-License-Identifier: Apache-2.0
// Which server of a Redis cluster has which key: 16384 slots, a key's by its CRC16, a slot's owner by what
// the servers say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "redis/reply.h"

namespace moongate::redis {

constexpr uint16_t kSlotCount = 16384;

/// Where a server listens.
struct Place {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;
  bool operator==(const Place&) const = default;
  /// "HOST:PORT", with brackets around an IPv6 address.
  std::string text() const;
};

/// From "HOST:PORT" or "[ADDRESS]:PORT".
base::Result<Place> parse_place(std::string_view text);

/// The slot of a key: of the part between the first { and the next } when that is not empty.
uint16_t slot_of(std::string_view key);

/// "MOVED 3999 127.0.0.1:6381" or "ASK ...": the slot is elsewhere, for good or for this one command.
struct Redirection {
  bool is_lasting = false;
  uint16_t slot = 0;
  Place place;
};

/// Nothing when `error` is no redirection. A server that does not name a host means the one it is on itself,
/// `asked`.
std::optional<Redirection> parse_redirection(std::string_view error, const std::string& asked);

/// A run of slots and who owns it.
struct SlotRange {
  uint16_t first = 0;
  uint16_t last = 0;
  Place owner;
};

/// From the reply to CLUSTER SLOTS of a server on `asked`.
base::Result<std::vector<SlotRange>> parse_slots(const Reply& reply, const std::string& asked);

}  // namespace moongate::redis
