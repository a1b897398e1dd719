// SPDX-License-Identifier: Apache-2.0
// IP addresses, networks in CIDR notation and sets of them. Routes (`remote_addrs`), expressions (`ipmatch`),
// trusted_addresses and the ip-restriction plugin all match through here, so that they agree on every
// spelling.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace moongate::router {

/// An IPv4 or IPv6 address in 16 bytes, network order. IPv4 is stored as ::ffff:a.b.c.d, so an IPv4 client
/// that came in over an IPv6 socket is the same address as one that did not.
struct Address {
  std::array<uint8_t, 16> bytes{};

  /// `value` is in host order: 0x7F000001 is 127.0.0.1.
  static Address from_v4(uint32_t value);
  bool is_v4() const;
  /// The last four bytes in host order.
  uint32_t v4() const;
  uint64_t high() const;
  uint64_t low() const;
  bool operator==(const Address& other) const = default;
};

/// All addresses whose first `prefix_bits` (0..128, counted in the 16-byte form) equal those of `base`. Bits
/// behind the prefix are 0.
struct Network {
  Address base;
  uint8_t prefix_bits = 128;

  /// An IPv6 network wider than the mapped range (`::/0`) holds no IPv4 address.
  bool contains(const Address& address) const;
};

/// Parses dotted IPv4 or IPv6 text: no brackets, zone, port or white space, no leading zeros in IPv4.
base::Result<Address> parse_address(std::string_view text);
/// Parses an address, or an address and `/bits`. Bits behind the prefix are ignored.
base::Result<Network> parse_network(std::string_view text);

/// An immutable set of networks.
///
/// Shape:   sorted ranges that neither overlap nor touch, IPv4 and IPv6 apart; a look-up is one binary
/// search. Runs in: every process; `contains` never allocates.
class AddressSet {
 public:
  AddressSet() = default;
  /// The union of the networks. An error quotes the first that does not parse.
  static base::Result<AddressSet> parse(std::span<const std::string> texts);
  static AddressSet from_networks(std::span<const Network> networks);

  bool is_empty() const { return v4_.empty() && v6_.empty(); }
  bool contains(const Address& address) const;
  /// How many ranges are left after merging.
  size_t range_count() const { return v4_.size() + v6_.size(); }

 private:
  struct RangeV4 {
    uint32_t first, last;
  };
  struct Wide {
    uint64_t high, low;
    auto operator<=>(const Wide&) const = default;
  };
  struct RangeV6 {
    Wide first, last;
  };

  void add(const Network& network);
  void normalise();

  std::vector<RangeV4> v4_;
  std::vector<RangeV6> v6_;
};

}  // namespace moongate::router
