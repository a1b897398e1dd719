// SPDX-License-Identifier: Apache-2.0
// Certificates and rules of one `ssls` resource, as OpenSSL has them.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls/digest.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

// A key that is locked cannot be used: nobody is there to be asked for its password.
int refuse_password(char*, int, int, void*) { return -1; }

Bio read_text(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<void> fail(const std::string& what) {
  std::string detail = take_library_errors();
  return base::invalid(what + (detail.empty() ? "" : " (" + detail + ")"));
}

// The first certificate is the server's own, those behind it its chain.
Result<void> use_certificates(SSL_CTX* library, const std::string& pem) {
  Bio text = read_text(pem);
  Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  if (!own) return fail("cert: it holds no certificate in PEM form");
  if (SSL_CTX_use_certificate(library, own.get()) != 1) return fail("cert: the certificate cannot be used");
  SSL_CTX_clear_chain_certs(library);
  while (X509* next = PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)) {
    if (SSL_CTX_add0_chain_cert(library, next) == 1) continue;
    X509_free(next);
    return fail("cert: a certificate of the chain cannot be used");
  }
  const auto end = ERR_peek_last_error();
  if (ERR_GET_REASON(end) != PEM_R_NO_START_LINE)
    return fail("cert: the chain holds something that is no PEM");
  ERR_clear_error();
  return {};
}

Result<void> use_pair(SSL_CTX* library, const CertificatePair& pair) {
  if (auto used = use_certificates(library, pair.certificate_pem); !used) return used;
  Bio text = read_text(pair.key_pem);
  Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_password, nullptr));
  if (!key) return fail("key: it holds no private key in PEM form without a password");
  if (SSL_CTX_use_PrivateKey(library, key.get()) != 1 || SSL_CTX_check_private_key(library) != 1) {
    return fail("key: the key does not belong to the certificate");
  }
  return {};
}

Result<void> use_client_ca(SSL_CTX* library, const std::string& pem) {
  Bio text = read_text(pem);
  X509_STORE* store = SSL_CTX_get_cert_store(library);
  int count = 0;
  while (X509* one = PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)) {
    Certificate owned(one);
    if (X509_STORE_add_cert(store, one) != 1 || SSL_CTX_add_client_CA(library, one) != 1)
      return fail("client.ca: a certificate cannot be used");
    count++;
  }
  if (count == 0) return fail("client.ca: it holds no certificate in PEM form");
  ERR_clear_error();
  return {};
}

int library_version(Version version) { return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

}  // namespace

std::string take_library_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (reason == nullptr) continue;
    if (!text.empty()) text += "; ";
    text += reason;
  }
  return text;
}

ServerContext::ServerContext() : parts_(std::make_unique<Parts>()) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<const ServerContext>> ServerContext::make(const ServerOptions& options) {
  ERR_clear_error();
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->id_ = options.id;
  Parts& parts = *context->parts_;
  parts.library = make_server_library();
  SSL_CTX* library = parts.library.get();
  if (library == nullptr) return fail("no memory for another certificate").error();
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
