// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share. Nobody else includes it.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "tls/session.h"

namespace moongate::tls {

struct ContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SessionFree {
  void operator()(SSL* session) const { SSL_free(session); }
};

struct ServerContext::Parts {
  std::unique_ptr<SSL_CTX, ContextFree> library;
  int version_min = 0;
  int version_max = 0;
  int verify_mode = SSL_VERIFY_NONE;
  int verify_depth = 0;
};

struct Session::Parts {
  net::Stream& socket;
  std::shared_ptr<const ServerNames> names;
  std::unique_ptr<SSL, SessionFree> library;
  const ServerContext* chosen = nullptr;
  std::string server_name;
  std::string failure;
  std::string received;    // bytes that were read before there was a session
  bool is_broken = false;  // nothing more may be written
};

/// A context that can serve: what all have in common. Null without memory.
std::unique_ptr<SSL_CTX, ContextFree> make_server_library();
/// What the library has to say, without the words that only its authors need; the queue is empty afterwards.
std::string take_library_errors();
/// The socket as the library's input and output.
BIO* make_socket_bio(Session::Parts* parts);

}  // namespace moongate::tls
