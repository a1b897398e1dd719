// SPDX-License-Identifier: Apache-2.0
#include "control/certificate_words.h"

#include <algorithm>
#include <string>

#include "config/secret_reference.h"
#include "tls/certificate.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

/// What the text stands for; nothing for what is no text, and for a reference that others complain about.
std::string text_of(const Value* value) {
  if (value == nullptr || !value->is_string()) return "";
  if (!config::is_reference(value->as_string())) return value->as_string();
  const Result<Value> found = config::resolve_reference(value->as_string(), config::process_environment());
  return found && found->is_string() ? found->as_string() : "";
}

/// A pair without its key is a certificate alone.
Result<void> check_pair(const Value* cert, const Value* key) {
  const std::string cert_text = text_of(cert);
  const std::string key_text = text_of(key);
  if (!cert_text.empty() && !tls::holds_certificate(cert_text))
    return base::invalid("failed to parse cert: PEM_read_bio_X509_AUX() failed");
  if (!key_text.empty() && !tls::holds_key(key_text))
    return base::invalid("failed to parse key: PEM_read_bio_PrivateKey() failed");
  return {};
}

}  // namespace

Result<void> check_certificate_words(const Value& ssl) {
  if (auto checked = check_pair(ssl.find("cert"), ssl.find("key")); !checked) return checked;
  if (ssl.get_string("type") == "client") return {};
  const Value* certs = ssl.find("certs");
  const Value* keys = ssl.find("keys");
  const bool has_pairs = certs != nullptr && keys != nullptr && certs->is_array() && keys->is_array();
  for (size_t i = 0; has_pairs && i < std::min(certs->items().size(), keys->items().size()); i++) {
    if (auto checked = check_pair(&certs->items()[i], &keys->items()[i]); !checked)
      return base::invalid("failed to handle cert-key pair[" + std::to_string(i + 1) +
                           "]: " + checked.error().detail);
  }
  const Value* client = ssl.find("client");
  if (client == nullptr || !client->is_object()) return {};
  if (auto checked = check_pair(client->find("ca"), nullptr); !checked)
    return base::invalid("failed to validate client_cert: " + checked.error().detail);
  return {};
}

}  // namespace moongate::control
