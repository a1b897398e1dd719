// SPDX-License-Identifier: Apache-2.0
// Certificates and rules of one `ssls` resource, as mbedTLS has them.
#include "tls/digest.h"
#include "tls/mbedtls/ciphers.h"
#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

// The library prefers the first that the client offers as well, and has no list for each connection.
const char* kHttp1[] = {"http/1.1", nullptr};
const char* kEither[] = {"h2", "http/1.1", nullptr};
const char* kHttp2[] = {"h2", nullptr};
constexpr std::array<const char**, 3> kProtocols{kHttp1, kEither, kHttp2};  // in the order of Protocols

// Between a client's certificate and the authority there are at most `client_depth` others, as OpenSSL
// counts.
int check_depth(void* argument, mbedtls_x509_crt*, int depth, uint32_t* flags) {
  const auto& parts = *static_cast<const ServerContext::Parts*>(argument);
  if (depth > 0 && static_cast<uint32_t>(depth - 1) > parts.client_depth)
    *flags |= MBEDTLS_X509_BADCERT_OTHER;
  return 0;
}

Result<void> use_ciphers(const ServerOptions& options, ServerContext::Parts& parts) {
  const std::string list = !options.ciphers.empty()                 ? options.ciphers
                           : options.version_min == Version::kTls11 ? "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
                                                                    : "ECDHE+AESGCM:ECDHE+CHACHA20";
  parts.ciphers = parse_ciphers(list);
  if (!parts.ciphers.empty()) return {};
  return base::invalid("moongate.tls.ciphers: \"" + list + "\" names no cipher suite that there is");
}

// What a session was agreed on under is to be had again when it is resumed: the library goes on with whatever
// suite it would choose now, and clients refuse another than before.
std::string ticket_scope_of(const std::string& client_scope, const ServerOptions& options,
                            const ServerContext::Parts& parts) {
  std::string text = client_scope;
  for (const int suite : parts.ciphers) text.append(std::to_string(suite)).append(" ");
  for (const OwnPair& own : parts.own)
    text.append(std::to_string(mbedtls_pk_get_type(own.key.get()))).append(" ");
  text += std::to_string(static_cast<int>(options.version_min)) +
          std::to_string(static_cast<int>(options.version_max));
  char scope[kDigestMaxBytes];
  return {scope, digest("sha256", text, scope)};
}

Result<void> fill_config(const Config& config, const ServerOptions& options, ServerContext::Parts& parts) {
  mbedtls_ssl_config* library = config.get();
  if (auto begun = begin_config(library, MBEDTLS_SSL_IS_SERVER, options.version_min, options.version_max);
      !begun)
    return base::invalid("ssl_protocols: " + begun.error().detail);
  mbedtls_ssl_conf_ciphersuites(library, parts.ciphers.data());
  mbedtls_ssl_conf_session_tickets_cb(library, seal_ticket, open_ticket, &parts);
  for (const OwnPair& own : parts.own) {
    const int fault = mbedtls_ssl_conf_own_cert(library, own.certificates.get(), own.key.get());
    if (fault != 0) return describe_fault("cert: the certificate cannot be used", fault);
  }
  if (options.client_ca_pem.empty()) return {};
  mbedtls_ssl_conf_ca_chain(library, parts.client_ca.get(), nullptr);
  mbedtls_ssl_conf_authmode(
      library, options.is_client_optional ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_conf_verify(library, check_depth, &parts);
  return {};
}

}  // namespace

ServerContext::ServerContext() : parts_(std::make_unique<Parts>()) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<const ServerContext>> ServerContext::make(const ServerOptions& options) {
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->id_ = options.id;
  context->has_certificate_ = !options.certificates.empty();
  Parts& parts = *context->parts_;
  for (const CertificatePair& pair : options.certificates) {
    if (auto read = read_pair(pair, parts.own.emplace_back()); !read) return read.error();
  }
  if (auto used = use_ciphers(options, parts); !used) return used.error();
  context->client_scope_ = client_scope_of(options);
  parts.ticket_scope = ticket_scope_of(context->client_scope_, options, parts);
  if (!options.client_ca_pem.empty()) {
    if (auto read = read_certificates(options.client_ca_pem, parts.client_ca); !read)
      return base::invalid("client.ca: " + read.error().detail);
    context->wants_client_certificate_ = true;
    parts.client_depth = options.client_depth;
  }
  for (size_t i = 0; i < parts.configs.size(); i++) {
    if (auto filled = fill_config(parts.configs[i], options, parts); !filled) return filled.error();
    mbedtls_ssl_conf_alpn_protocols(parts.configs[i].get(), kProtocols[i]);
  }
  return std::shared_ptr<const ServerContext>(std::move(context));
}

}  // namespace moongate::tls
