// SPDX-License-Identifier: Apache-2.0
// Certificates that an authority has issued to this gateway (control/acme.h). They are no part of a snapshot:
// they change while the configuration does not. Control gets and keeps them, the workers serve them; neither
// knows how the other does it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/server_names.h"

namespace moongate::tls {

/// A certificate and the names it is to serve, in lower case.
struct IssuedCertificate {
  std::vector<std::string> names;
  CertificatePair pair;
};

/// The issued certificates that this process serves.
///
/// Owner:   static; empty until replace().
/// Runs in: the workers; never waits.
class Issued {
 public:
  static Issued& of_process();
  /// How control hands them to the workers.
  static std::string pack(const std::vector<IssuedCertificate>& certificates);
  /// Takes over what was packed, in place of what there was. On failure nothing changes.
  base::Result<void> replace(std::string_view packed);
  /// The one for a name, or null.
  const std::shared_ptr<const CertificatePair>& find(const std::string& name) const;
  /// Rises with every replace().
  uint64_t generation() const { return generation_; }

 private:
  std::unordered_map<std::string, std::shared_ptr<const CertificatePair>> by_name_;
  uint64_t generation_ = 1;
};

/// How to be the server for the names of one resource whose certificates are issued: everything but those.
///
/// Shape:   one context for each certificate in use, made at the first handshake that needs it; before there
/// is one, a context without, which no handshake is let through with.
/// Runs in: the workers, in the handshake; a new certificate costs its first handshake a millisecond.
class AwaitedContext {
 public:
  /// `options` has no certificates. Fails: as ServerContext::make.
  static base::Result<std::shared_ptr<AwaitedContext>> make(ServerOptions options);
  /// The context that answers for `name` now; never null.
  std::shared_ptr<const ServerContext> find(const std::string& name);

 private:
  AwaitedContext() = default;
  ServerOptions options_;
  std::shared_ptr<const ServerContext> without_;
  std::map<std::shared_ptr<const CertificatePair>, std::shared_ptr<const ServerContext>> with_;
  uint64_t generation_ = 0;  // of what is in with_
};

}  // namespace moongate::tls
