// SPDX-License-Identifier: Apache-2.0
#include "script/client_contexts.h"

#include "script/host.h"

namespace moongate::script {

// Trusted is whom the snapshot's settings trust; before there is a snapshot, whom the system does.
base::Result<std::shared_ptr<const tls::ClientContext>> ClientContexts::get(bool is_verifying) {
  std::shared_ptr<const tls::TrustStore> now = host_.snapshot() ? host_.snapshot()->trust : trust_;
  if (!now) {
    auto made = tls::TrustStore::make("");
    if (!made) return made.error();
    now = made.take();
  }
  if (now != trust_) contexts_[0] = contexts_[1] = nullptr;
  trust_ = std::move(now);
  auto& slot = contexts_[is_verifying ? 1 : 0];
  if (slot) return slot;
  tls::ClientOptions options;
  options.trust = trust_;
  options.is_verifying = is_verifying;
  auto made = tls::ClientContext::make(options);
  if (made) slot = *made;
  return made;
}

}  // namespace moongate::script
