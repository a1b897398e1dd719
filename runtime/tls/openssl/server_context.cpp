// SPDX-License-Identifier: Apache-2.0
// Certificates and rules of one `ssls` resource, as OpenSSL has them.
#include <openssl/err.h>

#include "tls/openssl/parts.h"
#if MOONGATE_HTTP3
#include "tls/quic_handshake.h"
#endif

namespace moongate::tls {

using base::Result;

namespace {

// The verdict stays in the session, see Session::has_verified_peer().
int accept_unverified(int, X509_STORE_CTX*) { return 1; }

Result<void> use_client_ca(SSL_CTX* library, const std::string& pem) {
  Bio text = read_text(pem);
  X509_STORE* store = SSL_CTX_get_cert_store(library);
  int count = 0;
  while (X509* one = PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)) {
    Certificate owned(one);
    if (X509_STORE_add_cert(store, one) != 1 || SSL_CTX_add_client_CA(library, one) != 1)
      return describe_fault("client.ca: a certificate cannot be used");
    count++;
  }
  if (count == 0) return describe_fault("client.ca: it holds no certificate in PEM form");
  ERR_clear_error();
  return {};
}

// TLS 1.1 has nothing better than CBC and SHA-1, which the library refuses at its usual level.
Result<void> use_ciphers(SSL_CTX* library, const ServerOptions& options) {
  const bool is_old = options.version_min == Version::kTls11;
  if (is_old) SSL_CTX_set_security_level(library, 0);
  const std::string list = !options.ciphers.empty() ? options.ciphers
                           : is_old                 ? "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
                                                    : std::string();
  if (!list.empty() && SSL_CTX_set_cipher_list(library, list.c_str()) != 1)
    return describe_fault("moongate.tls.ciphers: \"" + list + "\" names no cipher suite that there is");
  return {};
}

}  // namespace

ServerContext::ServerContext() : parts_(std::make_unique<Parts>()) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<const ServerContext>> ServerContext::make(const ServerOptions& options) {
  ERR_clear_error();
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->id_ = options.id;
  context->has_certificate_ = !options.certificates.empty();
  Parts& parts = *context->parts_;
  parts.library = make_server_library();
  SSL_CTX* library = parts.library.get();
  if (library == nullptr) return describe_fault("no memory for another certificate");
  for (const CertificatePair& pair : options.certificates) {
    if (auto used = use_pair(library, pair); !used) return used.error();
  }
  if (auto used = use_ciphers(library, options); !used) return used.error();
  parts.version_min = library_version(options.version_min);
  parts.version_max = library_version(options.version_max);
  const std::string scope = client_scope_of(options);
  SSL_CTX_set_session_id_context(library, reinterpret_cast<const unsigned char*>(scope.data()),
                                 static_cast<unsigned>(scope.size()));
  context->client_scope_ = scope;
  if (!options.client_ca_pem.empty()) {
    if (auto used = use_client_ca(library, options.client_ca_pem); !used) return used.error();
    context->wants_client_certificate_ = true;
    parts.verify_mode = SSL_VERIFY_PEER;
    if (!options.is_client_optional) parts.verify_mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (options.is_client_optional) parts.on_verified = accept_unverified;
    parts.verify_depth = static_cast<int>(options.client_depth);
  }
#if MOONGATE_HTTP3
  if (options.is_for_quic && options.version_max == Version::kTls13) {
    auto made = QuicCredentials::make(options);
    if (!made) return made.error();
    context->quic_ = made.take();
  }
#endif
  return std::shared_ptr<const ServerContext>(std::move(context));
}

}  // namespace moongate::tls
