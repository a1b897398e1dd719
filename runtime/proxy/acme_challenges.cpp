// SPDX-License-Identifier: Apache-2.0
#include "proxy/acme_challenges.h"

#include "proxy/steps.h"

namespace moongate::proxy {

namespace {

constexpr std::string_view kFolder = "/.well-known/acme-challenge/";

}  // namespace

AcmeChallenges AcmeChallenges::of_process_;

void AcmeChallenges::replace(std::string_view lines) {
  answers_.clear();
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const size_t space = line.find(' ');
    if (space != line.npos && space > 0)
      answers_[std::string(line.substr(0, space))] = line.substr(space + 1);
  }
}

const std::string* AcmeChallenges::find(std::string_view target) const {
  if (!target.starts_with(kFolder)) return nullptr;
  const auto found = answers_.find(std::string(target.substr(kFolder.size())));
  return found == answers_.end() ? nullptr : &found->second;
}

bool answer_challenge(Context& context, exchange::Exchange& exchange) {
  const http::Method method = exchange.request.method;
  if (method != http::Method::kGet && method != http::Method::kHead) return false;
  const std::string* answer = AcmeChallenges::of_process().find(exchange.request.target);
  if (answer == nullptr) return false;
  exchange.answer(200, *answer, "application/octet-stream");
  answer_without_steps(context, exchange);
  return true;
}

}  // namespace moongate::proxy
