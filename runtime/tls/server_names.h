// SPDX-License-Identifier: Apache-2.0
// Which certificate answers for which name (SNI).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace moongate::tls {

class QuicCredentials;

enum class Version : uint8_t { kTls11, kTls12, kTls13 };

struct CertificatePair {
  std::string certificate_pem;  // with the chain that leads to the issuer behind it
  std::string key_pem;
};

struct ServerOptions {
  std::string id;                             // sessions are resumed under the same id only
  std::vector<CertificatePair> certificates;  // several for clients that take one kind of key only
  Version version_min = Version::kTls12;
  Version version_max = Version::kTls13;
  std::string client_ca_pem;  // when given, clients must show a certificate that leads to it
  uint32_t client_depth = 1;
  bool is_client_optional = false;  // the handshake goes on without; requests are judged one by one
  std::string ciphers;              // of TLS 1.2 and older; empty: those that are safe
  bool is_for_quic = false;         // HTTP/3 is spoken somewhere: quic() is wanted too
};

/// How to be the server for some names: certificates, versions, who may connect. Immutable.
class ServerContext {
 public:
  /// Fails: with what is wrong with a certificate or key; no part of a key is ever in the text.
  static base::Result<std::shared_ptr<const ServerContext>> make(const ServerOptions& options);
  /// Of names whose certificate cannot be used: no handshake gets through, and since nobody knows whom it
  /// would have let in, no connection that was made under another name is right for them.
  static const std::shared_ptr<const ServerContext>& closed();
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  const std::string& id() const { return id_; }
  /// What a client's certificate was checked for: the same for contexts that ask the same of their clients.
  const std::string& client_scope() const { return client_scope_; }
  static std::string client_scope_of(const ServerOptions& options);
  bool wants_client_certificate() const { return wants_client_certificate_; }
  /// The same for QUIC; null where it was not asked for, or TLS 1.3 is not allowed.
  const QuicCredentials* quic() const { return quic_.get(); }
  /// Without one no handshake gets through.
  bool has_certificate() const { return has_certificate_; }

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  ServerContext();
  std::string id_;
  std::string client_scope_;
  bool wants_client_certificate_ = false;
  std::shared_ptr<const QuicCredentials> quic_;
  bool has_certificate_ = false;
  std::unique_ptr<Parts> parts_;
};

class AwaitedContext;

/// The contexts of one snapshot by name.
///
/// Shape:   exact names, then `*.example.com` for one label more, then `*` for all and for clients without
/// SNI.
class ServerNames {
 public:
  /// `name` in lower case, without a trailing dot. The first to claim a name has it; false for the others.
  bool add(std::string_view name, std::shared_ptr<const ServerContext> context);
  /// The same for a name whose certificate is issued, and may come or change at any time.
  bool add_awaited(std::string_view name, std::shared_ptr<AwaitedContext> awaited);
  /// Clients that name no host are taken to name this one.
  void set_fallback(std::string_view name) { fallback_ = name; }
  /// Null when no certificate is for that name (any case, with or without trailing dot; empty for none). The
  /// reference lives until the next call: whoever goes on with the context copies it.
  const std::shared_ptr<const ServerContext>& find(std::string_view name) const;
  bool is_empty() const { return contexts_.empty(); }

 private:
  struct Entry {
    std::shared_ptr<const ServerContext> context;
    std::shared_ptr<AwaitedContext> awaited = nullptr;  // null for a certificate that the snapshot has
    uint64_t generation = 0;                            // of what was issued when `context` was looked up
  };
  mutable std::unordered_map<std::string, Entry> contexts_;
  std::string fallback_;
};

}  // namespace moongate::tls
