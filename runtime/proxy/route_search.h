// SPDX-License-Identifier: Apache-2.0
// Finds the route of a request: the router with what it asks of the request, its body and its filter_func
// among that.
#pragma once

#include <vector>

#include "exchange/exchange.h"
#include "proxy/context.h"
#include "proxy/route_body.h"

namespace moongate::proxy {

/// Finds the exchange's route, or none. kAnswer: one that the body or a filter_func decides on cannot be
/// told, and that is said. kWait: for the body; `go_on` searches again.
exchange::StepResult search_route(Context& context, exchange::Exchange& exchange, RouteBody::GoOn go_on);

/// What a search for a route had to do with the request's body, or could not do.
struct BodySearch {
  std::string_view asked;     // the first variable of the body that was asked for; empty: none was
  uint16_t fault_status = 0;  // when it, or a filter_func, could not be asked: no route is taken then
  std::string_view fault_reason;
};

/// What search_route would do for a request without a body, with what it passed over (see
/// Router::explain); nothing is answered. False when no route is found.
bool explain_route(Context& context, exchange::Exchange& exchange, size_t trials_max,
                   std::vector<router::Trial>* trials, BodySearch* body);

}  // namespace moongate::proxy
