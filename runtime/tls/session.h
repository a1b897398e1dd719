// SPDX-License-Identifier: Apache-2.0
// One TLS connection's cryptographic state. It reads and writes through a socket of ours and never waits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/stream.h"
#include "tls/client_context.h"
#include "tls/handshake.h"
#include "tls/server_names.h"
#include "tls/session_store.h"

namespace moongate::tls {

/// Whom a client connects to.
struct Peer {
  std::string name;  // a host name or an address; empty for none, which no verification survives
  std::shared_ptr<SessionStore> sessions;  // null: each handshake is a whole one
};

/// What a server offers to speak (ALPN).
enum class Protocols : uint8_t { kHttp1, kEither, kHttp2 };

/// Owner:   the tls::Stream; `socket` must outlive it.
/// Fails:   after kError the connection is of no further use; describe_failure() says why.
class Session final : public Handshake {
 public:
  /// The server's side. The certificate is chosen among `names` when the client has said which name it wants.
  /// `received` is what was read from the socket already. Null when the library has no memory left.
  static std::unique_ptr<Session> accept(net::Stream& socket, std::shared_ptr<const ServerNames> names,
                                         std::string_view received, Protocols offered);
  /// The client's side. Null when the library has no memory left.
  static std::unique_ptr<Session> connect(net::Stream& socket, std::shared_ptr<const ClientContext> context,
                                          Peer peer);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  net::IoStatus handshake();
  net::IoResult read(char* buffer, size_t size);
  /// What a call could not send must be the beginning of what the next call sends.
  net::IoResult write(const char* data, size_t size);
  /// True when a read may find something that has left the socket already.
  bool has_pending() const;
  /// Tells the peer that this was all. Does not wait for an answer.
  void say_goodbye();

  std::string_view server_name() const override;
  std::string_view version() const override;
  std::string_view cipher() const override;
  /// HTTP/2 was agreed on (ALPN).
  bool is_http2() const;
  bool is_resumed() const override;
  const ServerContext* context() const override;
  PeerCertificate peer() const override;
  bool has_verified_peer() const override;
  /// One sentence without the contents of certificates; empty when the other side just left the handshake.
  std::string describe_failure() const;

  struct Parts;

 private:
  explicit Session(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace moongate::tls
