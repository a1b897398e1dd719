// SPDX-License-Identifier: Apache-2.0
// What the router needs to know of a route, as plain data. Whoever compiles a snapshot makes these; a route
// that did not change keeps its object from one router to the next.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/head.h"
#include "router/address_set.h"
#include "router/expression.h"

namespace moongate::router {

/// The bit of a method in RouteSpec::methods.
constexpr uint32_t method_bit(http::Method method) { return 1U << static_cast<uint32_t>(method); }

/// The conditions of one route. Nothing here changes once it is handed to a builder; the caller leaves
/// disabled routes out, and fills in the hosts a route inherits from its service.
struct RouteSpec {
  std::string id;
  std::vector<std::string> uris;  // patterns, at least one
  std::vector<std::string>
      hosts;             // in any case; `*` first makes a suffix; may end in a port; empty: any host
  uint32_t methods = 0;  // method_bit()s
  std::vector<std::string> other_methods;  // methods that have no bit; both empty: any method
  AddressSet remote_addrs;                 // empty: any address
  std::shared_ptr<const Expression> vars;  // null: no condition
  int priority = 0;                        // orders routes of one group only, the higher first
  uint32_t order = 0;                      // stored order, the last tie-break
  bool has_filter = false;                 // ask FilterHook
  uint32_t target = 0;                     // the caller's index; comes back in Match
};

}  // namespace moongate::router
