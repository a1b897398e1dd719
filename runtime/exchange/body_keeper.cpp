// SPDX-License-Identifier: Apache-2.0
#include "exchange/body_keeper.h"

#include "base/log.h"

namespace moongate::exchange {

void BodyKeeper::on_request_body(const iovec* pieces, int count, bool is_last) {
  if (!is_collecting()) return;
  for (int i = 0; i < count; i++) {
    auto kept =
        exchange_.body.append({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len}, files_);
    if (kept) continue;
    MG_LOG(kError) << kept.error().detail;
    const bool is_full = kept.error().kind == base::ErrorKind::kLimit;
    return on_request_body_failed(is_full ? 507 : 500, is_full ? "there is no room for the request's body"
                                                               : "the request's body cannot be kept");
  }
  on_kept(is_last);
}

void BodyKeeper::on_request_body_failed(uint16_t status, std::string_view reason) {
  if (!is_collecting()) return;
  exchange_.body_fault_status = status;
  exchange_.body_fault_reason = exchange_.arena.copy(reason);
  finish(BodyState::kFailed, exchange_.body_fault_reason);
}

}  // namespace moongate::exchange
