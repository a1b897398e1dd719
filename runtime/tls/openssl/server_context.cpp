// SPDX-License-Identifier: Apache-2.0
// Certificates and rules of one `ssls` resource, as OpenSSL has them.
#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/digest.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

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

int library_version(Version version) { return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

}  // namespace

ServerContext::ServerContext() : parts_(std::make_unique<Parts>()) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<const ServerContext>> ServerContext::make(const ServerOptions& options) {
  ERR_clear_error();
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->id_ = options.id;
  Parts& parts = *context->parts_;
  parts.library = make_server_library();
  SSL_CTX* library = parts.library.get();
  if (library == nullptr) return describe_fault("no memory for another certificate");
  for (const CertificatePair& pair : options.certificates) {
    if (auto used = use_pair(library, pair); !used) return used.error();
  }
  parts.version_min = library_version(options.version_min);
  parts.version_max = library_version(options.version_max);
  // Whoever resumes a session under another name would be taken for the client that name had checked.
  char scope[kDigestMaxBytes];
  const size_t size = digest("sha256", options.id + '\0' + options.client_ca_pem, scope);
  SSL_CTX_set_session_id_context(library, reinterpret_cast<unsigned char*>(scope),
                                 static_cast<unsigned>(size));
  context->client_scope_.assign(scope, size);
  if (!options.client_ca_pem.empty()) {
    if (auto used = use_client_ca(library, options.client_ca_pem); !used) return used.error();
    context->wants_client_certificate_ = true;
    parts.verify_mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    parts.verify_depth = static_cast<int>(options.client_depth);
  }
  return std::shared_ptr<const ServerContext>(std::move(context));
}

}  // namespace moongate::tls
