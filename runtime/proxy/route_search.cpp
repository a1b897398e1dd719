// SPDX-License-Identifier: Apache-2.0
#include "proxy/route_search.h"

#include "script/host.h"

namespace moongate::proxy {

using exchange::Exchange;
using exchange::StepResult;

namespace {

/// Asks a route's filter_func, which is the last condition. One that fails ends the search: the next route
/// may be the one that this one guards.
class ScriptFilter final : public router::FilterHook {
 public:
  ScriptFilter(Context& context, Exchange& exchange) : context_(context), exchange_(exchange) {}
  bool accept(const router::RouteSpec&, uint32_t target) override {
    const auto verdict = context_.script->call_filter(exchange_, *exchange_.snapshot->routes[target]);
    has_failed_ |= !verdict;
    return verdict.value_or(true);
  }
  bool has_failed() const { return has_failed_; }

 private:
  Context& context_;
  Exchange& exchange_;
  bool has_failed_ = false;
};

constexpr std::string_view kFilterFailed = "the route's filter_func failed; the error log says how";

/// What of the exchange decides on its route.
router::Request routing_request(Exchange& exchange, router::VariableSource& variables,
                                router::FilterHook& filter) {
  router::Request request;
  request.path = exchange.uri.path;
  request.host = exchange.host;
  request.port = exchange.host_port;
  request.method = exchange.request.method;
  request.method_text = exchange.request.method_text;
  request.remote = &exchange.remote;
  request.variables = &variables;
  request.filter = &filter;
  return request;
}

}  // namespace

StepResult search_route(Context& context, Exchange& exchange, RouteBody::GoOn go_on) {
  if (exchange.body_state == exchange::BodyState::kFailed) {  // a search asked for it
    exchange.fail(exchange.body_fault_status, exchange.body_fault_reason);
    return StepResult::kAnswer;
  }
  const snapshot::Snapshot& snapshot = *exchange.snapshot;
  RouteVariables variables(context, exchange);
  ScriptFilter filter(context, exchange);
  const router::Request request = routing_request(exchange, variables, filter);
  bool is_found = snapshot.router && snapshot.router->match(request, &exchange.match);
  if (variables.has_missed_body()) {
    const StepResult collected = part_of_slot(context.route_bodies, context, exchange, go_on).collect();
    return collected == StepResult::kWait ? collected : search_route(context, exchange, go_on);
  }
  if (variables.fault_status() != 0) {
    exchange.fail(variables.fault_status(), variables.fault_reason());
    return StepResult::kAnswer;
  }
  if (filter.has_failed()) {
    exchange.fail(500, kFilterFailed);
    return StepResult::kAnswer;
  }
  if (is_found) exchange.route = snapshot.routes[exchange.match.target].get();
  return StepResult::kNext;
}

bool explain_route(Context& context, Exchange& exchange, size_t trials_max,
                   std::vector<router::Trial>* trials, BodySearch* body) {
  RouteVariables variables(context, exchange);
  ScriptFilter filter(context, exchange);
  const router::Request request = routing_request(exchange, variables, filter);
  const bool is_found = exchange.snapshot->router->explain(request, &exchange.match, trials_max, trials);
  *body = {variables.asked(), variables.fault_status(), variables.fault_reason()};
  if (filter.has_failed()) body->fault_status = 500, body->fault_reason = kFilterFailed;
  if (!is_found || body->fault_status != 0) return false;
  exchange.route = exchange.snapshot->routes[exchange.match.target].get();
  return true;
}

}  // namespace moongate::proxy
