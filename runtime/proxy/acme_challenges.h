// SPDX-License-Identifier: Apache-2.0
// What a certificate authority finds under /.well-known/acme-challenge/ while it makes sure that names lead
// here (RFC 8555 8.3). Control orders and hands out the answers; they stand before routing and plugins, so
// that no configuration hinders them.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "exchange/exchange.h"
#include "proxy/context.h"

namespace moongate::proxy {

/// The answers that are wanted of this process, by token. There are some for seconds, when a certificate is
/// ordered, and else none.
///
/// Owner:   static; empty until replace().
/// Runs in: the workers, once per request; never waits.
class AcmeChallenges {
 public:
  static AcmeChallenges& of_process() { return of_process_; }
  /// Takes over lines of "TOKEN ANSWER", in place of what there was.
  void replace(std::string_view lines);
  bool is_any() const { return !answers_.empty(); }
  /// For a target that is exactly the path of a token; null for every other.
  const std::string* find(std::string_view target) const;

 private:
  static AcmeChallenges of_process_;
  std::unordered_map<std::string, std::string> answers_;
};

/// Answers a request for a token; false for every other request.
[[gnu::cold]] bool answer_challenge(Context& context, exchange::Exchange& exchange);

}  // namespace moongate::proxy
