// SPDX-License-Identifier: Apache-2.0
// The client's rules as mbedTLS has them, and what it says when a server does not meet them.
#include "tls/client_context.h"

#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>

#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/log.h"
#include "tls/certificate.h"
#include "tls/mbedtls/ciphers.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

constexpr size_t kTrustedMaxBytes = 16 * 1024 * 1024;
constexpr size_t kSessionMaxBytes = 64 * 1024;

// Where distributions keep what OpenSSL trusts by default; SSL_CERT_FILE comes first, as there.
constexpr const char* kSystemFiles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                        "/etc/ssl/cert.pem"};

/// The system's list, as far as the library understands it; without one nobody is trusted.
void read_system_certificates(const Certificates& certificates) {
  std::vector<std::string> paths(std::begin(kSystemFiles), std::end(kSystemFiles));
  const char* chosen = std::getenv("SSL_CERT_FILE");
  if (chosen != nullptr) paths = {chosen};
  for (const std::string& path : paths) {
    const Result<std::string> text = base::read_file(path, kTrustedMaxBytes);
    if (!text) continue;
    const int result = mbedtls_x509_crt_parse(
        certificates.get(), reinterpret_cast<const unsigned char*>(text->c_str()), text->size() + 1);
    if (result >= 0) return;
    MG_LOG(kWarn) << path << ": none of its certificates can be used: " << describe_code(result);
  }
  MG_LOG(kWarn) << "the system has no list of trusted certificates that can be read; name one with "
                << "moongate.upstream.tls_trusted_certificate";
}

// The library looks at hosts only, and at the subject's name when there are no alternative ones. It does not
// know name constraints at all: an authority that has them is not believed, because what it may vouch for is
// not known.
int check_server(void* argument, mbedtls_x509_crt* certificate, int depth, uint32_t* flags) {
  auto& parts = *static_cast<Session::Parts*>(argument);
  constexpr std::string_view kNameConstraints(MBEDTLS_OID_NAME_CONSTRAINTS);
  if (depth > 0 && !find_extension(*certificate, kNameConstraints).empty())
    *flags |= MBEDTLS_X509_BADCERT_OTHER;
  if (depth == 0) {
    const mbedtls_x509_buf& issuer = certificate->issuer_raw;
    const mbedtls_x509_buf& subject = certificate->subject_raw;
    parts.is_self_signed = issuer.len == subject.len && std::memcmp(issuer.p, subject.p, subject.len) == 0;
  }
  if (depth == 0 && !is_for_name(*certificate, parts.server_name)) *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
  return 0;
}

Result<void> offer_protocols(const std::vector<std::string>& protocols, ClientContext::Parts& parts) {
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return base::invalid("a protocol has 1 to 255 bytes");
  }
  if (protocols.empty()) return {};
  parts.protocols = protocols;
  for (const std::string& protocol : parts.protocols) parts.protocol_list.push_back(protocol.c_str());
  parts.protocol_list.push_back(nullptr);
  const int fault = mbedtls_ssl_conf_alpn_protocols(parts.config.get(), parts.protocol_list.data());
  return fault == 0 ? Result<void>()
                    : Result<void>(describe_fault("the list of protocols cannot be used", fault));
}

Result<void> fill_config(const ClientOptions& options, ClientContext::Parts& parts) {
  mbedtls_ssl_config* library = parts.config.get();
  if (auto begun = begin_config(library, MBEDTLS_SSL_IS_CLIENT, options.version_min, options.version_max);
      !begun)
    return begun;
  // Only what has forward secrecy. Servers that can do no better than CBC are still about.
  parts.ciphers = parse_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES");
  mbedtls_ssl_conf_ciphersuites(library, parts.ciphers.data());
  mbedtls_ssl_conf_dhm_min_bitlen(library, 2048);
  if (auto offered = offer_protocols(options.protocols, parts); !offered) return offered;
  if (!options.certificate.certificate_pem.empty()) {
    if (auto read = read_pair(options.certificate, parts.own); !read) return read;
    const int fault = mbedtls_ssl_conf_own_cert(library, parts.own.certificates.get(), parts.own.key.get());
    if (fault != 0) return describe_fault("cert: the certificate cannot be used", fault);
  }
  mbedtls_ssl_conf_authmode(library,
                            options.is_verifying ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
  if (options.is_verifying) {
    parts.trust = options.trust;
    mbedtls_ssl_conf_ca_chain(library, parts.trust->parts().certificates.get(), nullptr);
  }
  return {};
}

}  // namespace

TrustStore::TrustStore() : parts_(std::make_unique<Parts>()) {}
TrustStore::~TrustStore() = default;

Result<std::shared_ptr<const TrustStore>> TrustStore::make(const std::string& pem) {
  std::shared_ptr<TrustStore> store(new TrustStore);
  store->key_ = key_of(pem);
  if (pem.empty()) {
    read_system_certificates(store->parts_->certificates);
  } else if (auto read = read_certificates(pem, store->parts_->certificates); !read) {
    return read.error();
  }
  return std::shared_ptr<const TrustStore>(std::move(store));
}

ClientContext::ClientContext() : parts_(std::make_unique<Parts>()) {}
ClientContext::~ClientContext() = default;

Result<std::shared_ptr<const ClientContext>> ClientContext::make(const ClientOptions& options) {
  MG_ASSERT(!options.is_verifying || options.trust);
  std::shared_ptr<ClientContext> context(new ClientContext);
  context->key_ = key_of(options);
  context->is_verifying_ = options.is_verifying;
  if (auto filled = fill_config(options, *context->parts_); !filled) return filled.error();
  return std::shared_ptr<const ClientContext>(std::move(context));
}

std::string pack_session(const mbedtls_ssl_context* library) {
  Resumption session;
  std::string bytes;
  size_t size = 0;
  if (mbedtls_ssl_get_session(library, session.get()) != 0) return bytes;
  if (session->ticket_len == 0 && session->id_len == 0) return bytes;
  (void)mbedtls_ssl_session_save(session.get(), nullptr, 0, &size);  // fails, and tells the size
  if (size == 0 || size > kSessionMaxBytes) return bytes;
  bytes.resize(size);
  auto* at = reinterpret_cast<unsigned char*>(bytes.data());
  if (mbedtls_ssl_session_save(session.get(), at, bytes.size(), &size) != 0) bytes.clear();
  return bytes;
}

bool ask_for(Session::Parts& parts) {
  mbedtls_ssl_context* library = parts.library.get();
  const std::string& name = parts.server_name;
  // An address is checked by check_server(); that there is no name must be said (2.28.10 insists).
  const char* host = name.empty() || is_address(name) ? nullptr : name.c_str();
  if (mbedtls_ssl_set_hostname(library, host) != 0) return false;
  if (parts.client->is_verifying()) mbedtls_ssl_set_verify(library, check_server, &parts);
  const std::string* former = parts.sessions ? parts.sessions->find(name) : nullptr;
  if (former == nullptr) return true;
  Resumption session;
  const auto* at = reinterpret_cast<const unsigned char*>(former->data());
  if (mbedtls_ssl_session_load(session.get(), at, former->size()) == 0)
    (void)mbedtls_ssl_set_session(library, session.get());
  return true;
}

std::string describe_client_failure(const Session::Parts& parts, int code) {
  const uint32_t flags = mbedtls_ssl_get_verify_result(parts.library.get());
  if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
    const std::string untrusted = "the server's certificate is not trusted: ";
    if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
      return untrusted +
             (parts.is_self_signed ? "self-signed certificate" : "no trusted authority has signed it");
    if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
      return "the server's certificate is not for " + parts.server_name;
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED) return untrusted + "certificate has expired";
    if (flags & MBEDTLS_X509_BADCERT_FUTURE) return untrusted + "certificate is not yet valid";
    if (flags & MBEDTLS_X509_BADCERT_OTHER)
      return untrusted + "an authority's certificate has name constraints, which this build cannot check";
    char text[256];
    const int size = mbedtls_x509_crt_verify_info(text, sizeof text, "", flags);
    std::string reasons(text, size > 0 ? static_cast<size_t>(size) : 0);
    for (char& c : reasons) {
      if (c == '\n') c = ' ';
    }
    return untrusted + reasons;
  }
  if (code == MBEDTLS_ERR_SSL_CONN_EOF) return "the server closed the connection without ending TLS first";
  return {};
}

}  // namespace moongate::tls
