// SPDX-License-Identifier: Apache-2.0
// The handshake of a QUIC connection (RFC 9001): TLS 1.3 without TLS's records. OpenSSL's release has no way
// to do that, so that another library does (tls/gnutls/); names, certificates and who may connect are those
// of all other connections.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tls/handshake.h"
#include "tls/server_names.h"

namespace moongate::tls {

/// Certificates and keys of one ServerContext, in that library's form. Immutable.
class QuicCredentials {
 public:
  /// Fails: with what is wrong with a certificate or key; no part of a key is ever in the text.
  static base::Result<std::shared_ptr<const QuicCredentials>> make(const ServerOptions& options);
  ~QuicCredentials();
  QuicCredentials(const QuicCredentials&) = delete;
  QuicCredentials& operator=(const QuicCredentials&) = delete;

  struct Parts;
  const Parts& parts() const { return *parts_; }

 private:
  QuicCredentials();
  std::unique_ptr<Parts> parts_;
};

/// The server's side of one handshake. A session is resumed under its own name, and where clients show no
/// certificates; nothing is taken from a client before the handshake is done.
///
/// Owner:   the QUIC connection, whose library feeds it.
class QuicHandshake final : public Handshake {
 public:
  /// `user` is what the QUIC library's functions find behind library(). Null when there is no memory left.
  static std::unique_ptr<QuicHandshake> accept(std::shared_ptr<const ServerNames> names, void* user);
  ~QuicHandshake();
  QuicHandshake(const QuicHandshake&) = delete;
  QuicHandshake& operator=(const QuicHandshake&) = delete;

  /// For the next connection of the same client; once the handshake is done. False when it cannot be sent.
  bool send_ticket();

  /// The library's object.
  void* library() const;

  std::string_view server_name() const override;
  std::string_view version() const override { return "TLSv1.3"; }
  std::string_view cipher() const override;
  bool is_resumed() const override;
  const ServerContext* context() const override;
  PeerCertificate peer() const override;
  bool has_verified_peer() const override;
  /// One sentence without the contents of certificates; empty when nothing is known.
  std::string describe_failure() const;

  struct Parts;

 private:
  explicit QuicHandshake(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::tls
