// SPDX-License-Identifier: Apache-2.0
// How connections that scripts make are clients of TLS servers: whom the snapshot that serves trusts, they
// trust.
#pragma once

#include <memory>

#include "tls/client_context.h"

namespace moongate::script {

class Host;

class ClientContexts {
 public:
  explicit ClientContexts(Host& host) : host_(host) {}
  ClientContexts(const ClientContexts&) = delete;
  ClientContexts& operator=(const ClientContexts&) = delete;

  /// The same one until another snapshot trusts others.
  base::Result<std::shared_ptr<const tls::ClientContext>> get(bool is_verifying);

 private:
  Host& host_;
  std::shared_ptr<const tls::TrustStore> trust_;  // what `contexts_` were made with
  std::shared_ptr<const tls::ClientContext> contexts_[2];
};

}  // namespace moongate::script
