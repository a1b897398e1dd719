// SPDX-License-Identifier: Apache-2.0
// Address matching for Lua: the functions that lua/lib/moongate/native.lua declares under "addresses".
#include <cstddef>
#include <string_view>

#include "router/address_set.h"

extern "C" {

/// 1 when `address` lies within `cidr` (an address or address/bits), 0 when not, -1 when either does not
/// parse.
__attribute__((visibility("default"), used)) int mg_address_in_cidr(const char* address, size_t address_size,
                                                                    const char* cidr, size_t cidr_size) {
  auto parsed = moongate::router::parse_address(std::string_view(address, address_size));
  auto network = moongate::router::parse_network(std::string_view(cidr, cidr_size));
  if (!parsed || !network) return -1;
  return network->contains(*parsed) ? 1 : 0;
}
}
