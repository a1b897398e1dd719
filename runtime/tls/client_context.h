// SPDX-License-Identifier: Apache-2.0
// How to be the client of a TLS server: whom to trust, what to show, what to speak. The server's side is in
// server_names.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tls/server_names.h"

namespace moongate::tls {

/// The authorities whose certificates are believed. Immutable; costly to make, so it is shared.
class TrustStore {
 public:
  /// Those of `pem`, or those the system trusts when it is empty.
  /// Fails: when `pem` holds no certificate, or something that is none.
  static base::Result<std::shared_ptr<const TrustStore>> make(const std::string& pem);
  ~TrustStore();
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  /// The same for stores made from the same text.
  const std::string& key() const { return key_; }
  static std::string key_of(const std::string& pem);

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  TrustStore();
  std::string key_;
  std::unique_ptr<Parts> parts_;
};

struct ClientOptions {
  std::shared_ptr<const TrustStore> trust;  // needed when verifying
  bool is_verifying = true;                 // chain and name
  CertificatePair certificate;              // shown to servers that ask; empty for none
  std::vector<std::string> protocols;       // offered with ALPN, the best first; each of 1 to 255 bytes
  Version version_min = Version::kTls12;
  Version version_max = Version::kTls13;
};

/// How to be the client of some servers. Immutable.
class ClientContext {
 public:
  /// Fails: with what is wrong, beginning with "cert: " or "key: "; no part of a key is ever in the text.
  static base::Result<std::shared_ptr<const ClientContext>> make(const ClientOptions& options);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  /// A digest of everything it was made from. What was agreed on under one key must not be used under
  /// another.
  const std::string& key() const { return key_; }
  static std::string key_of(const ClientOptions& options);
  bool is_verifying() const { return is_verifying_; }

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  ClientContext();
  std::string key_;
  bool is_verifying_ = true;
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::tls
