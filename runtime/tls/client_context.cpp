// SPDX-License-Identifier: Apache-2.0
// The part that needs no TLS library.
#include "tls/client_context.h"

#include "tls/digest.h"

namespace moongate::tls {

namespace {

std::string digest_of(const std::string& text) {
  char bytes[kDigestMaxBytes];
  return {bytes, digest("sha256", text, bytes)};
}

// Each text with its size before it, so that no two lists of texts look alike.
void add_text(std::string* to, std::string_view text) {
  *to += std::to_string(text.size());
  to->append(":").append(text);
}

}  // namespace

std::string TrustStore::key_of(const std::string& pem) { return digest_of(pem); }

std::string ClientContext::key_of(const ClientOptions& options) {
  std::string text = options.is_verifying ? "verify" : "trust";
  if (options.is_verifying && options.trust) add_text(&text, options.trust->key());
  add_text(&text, options.certificate.certificate_pem);
  add_text(&text, options.certificate.key_pem);
  text += static_cast<char>('0' + static_cast<int>(options.version_min));
  text += static_cast<char>('0' + static_cast<int>(options.version_max));
  for (const std::string& protocol : options.protocols) add_text(&text, protocol);
  return digest_of(text);
}

}  // namespace moongate::tls
