// SPDX-License-Identifier: Apache-2.0
// What a TLS handshake settled, whichever library made it and whatever carries it.
#pragma once

#include <string>
#include <string_view>

namespace moongate::tls {

class ServerContext;

/// What the peer proved about itself.
struct PeerCertificate {
  bool is_present = false;
  bool is_verified = false;
  std::string subject;  // RFC 2253: CN=client,O=example
  std::string issuer;
  std::string serial;       // hexadecimal digits, upper case
  std::string fingerprint;  // SHA-1 of the certificate, hexadecimal digits, lower case
  std::string pem;
};

class Handshake {
 public:
  /// The name the client asked for, in lower case when it is the peer's; empty without one.
  virtual std::string_view server_name() const = 0;
  virtual std::string_view version() const = 0;  // "TLSv1.3"
  virtual std::string_view cipher() const = 0;   // "TLS_AES_256_GCM_SHA384"
  virtual bool is_resumed() const = 0;
  /// The context that was chosen; null before.
  virtual const ServerContext* context() const = 0;
  virtual PeerCertificate peer() const = 0;
  /// Whether the peer has shown a certificate that was found good, in this session or the one it resumes.
  virtual bool has_verified_peer() const = 0;

 protected:
  ~Handshake() = default;
};

}  // namespace moongate::tls
