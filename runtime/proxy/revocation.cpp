// SPDX-License-Identifier: Apache-2.0
#include "proxy/revocation.h"

#include <algorithm>

#include "base/log.h"
#include "proxy/steps.h"

namespace moongate::proxy {

namespace {

constexpr uint32_t kSliceExchanges = 1000;

bool is_revoked(const exchange::Exchange& exchange, const snapshot::Snapshot& now) {
  return exchange.client && !exchange.is_last_passed && exchange.credential_print != 0 &&
         exchange.snapshot.get() != &now &&
         !now.has_credential(exchange.credential_owner, exchange.credential_print);
}

}  // namespace

void Revocation::start(std::chrono::milliseconds grace) {
  if (!timer_.is_running()) timer_.start(context_.loop.timers(), grace);
}

// A look that is under way begins again: what it passed may have been revoked since.
void Revocation::on_due(void* self) {
  auto* revocation = static_cast<Revocation*>(self);
  revocation->position_ = 0;
  on_slice(self);
}

void Revocation::on_slice(void* self) {
  auto* revocation = static_cast<Revocation*>(self);
  Context& context = revocation->context_;
  uint32_t end = std::min(revocation->position_ + kSliceExchanges, context.exchanges.slot_count());
  for (; revocation->position_ < end; revocation->position_++) {
    exchange::Exchange& exchange = *context.exchanges.at(revocation->position_);
    if (!is_revoked(exchange, *context.snapshot)) continue;
    revocation->ended_count_++;
    end_revoked(context, exchange);
  }
  if (revocation->position_ < context.exchanges.slot_count())
    return revocation->next_slice_.schedule(context.loop);
  if (revocation->ended_count_ > 0)
    MG_LOG(kWarn) << revocation->ended_count_ << " requests ended with the credentials that let them in";
  revocation->ended_count_ = 0;
}

}  // namespace moongate::proxy
