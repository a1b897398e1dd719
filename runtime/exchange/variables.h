// SPDX-License-Identifier: Apache-2.0
// nginx's variables by name: what routes' expressions, access logs and `ctx.var` read. One implementation for
// all.
#pragma once

#include <optional>
#include <string_view>

#include "exchange/exchange.h"
#include "router/variables.h"

namespace moongate::exchange {

/// The value of variable `name`; false when it is unknown or unset. Views live until the exchange ends.
bool find_variable(Exchange& exchange, std::string_view name, std::string_view* value);

/// The name of how the node is spoken to: a plugin's choice, or else the upstream's.
std::string_view upstream_scheme(const Exchange& exchange);
/// The same as the data path wants it; nothing when a plugin chose what there is not.
std::optional<upstream::Scheme> find_upstream_scheme(const Exchange& exchange);

/// kNo: the variable is a fact. kRefused: the value is none that it can have.
enum class Written : uint8_t { kNo, kYes, kRefused };
/// Sets a variable that may be set: `upstream_*` that steer the proxy, or a plugin's own.
Written set_variable(Exchange& exchange, std::string_view name, std::string_view value);

/// The text that consistent hashing works on, by the upstream's hash_on and key; the client's address when it
/// is unset.
std::string_view find_hash_key(Exchange& exchange);

/// Variables as the router's expressions want them.
class ExchangeVariables final : public router::VariableSource {
 public:
  explicit ExchangeVariables(Exchange& exchange) : exchange_(exchange) {}
  bool find(std::string_view name, std::string_view* value) override {
    return find_variable(exchange_, name, value);
  }

 private:
  Exchange& exchange_;
};

}  // namespace moongate::exchange
