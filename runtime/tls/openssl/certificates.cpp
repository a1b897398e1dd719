// SPDX-License-Identifier: Apache-2.0
// Certificates and keys out of PEM texts, for both sides of a handshake.
#include "tls/certificate.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;

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

base::Error describe_fault(const std::string& what) {
  std::string detail = take_library_errors();
  return base::invalid(what + (detail.empty() ? "" : " (" + detail + ")"));
}

namespace {

// The first certificate is the owner's own, those behind it its chain.
Result<void> use_certificates(SSL_CTX* library, const std::string& pem) {
  Bio text = read_text(pem);
  Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  if (!own) return describe_fault("cert: it holds no certificate in PEM form");
  if (SSL_CTX_use_certificate(library, own.get()) != 1)
    return describe_fault("cert: the certificate cannot be used");
  SSL_CTX_clear_chain_certs(library);
  while (X509* next = PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)) {
    if (SSL_CTX_add0_chain_cert(library, next) == 1) continue;
    X509_free(next);
    return describe_fault("cert: a certificate of the chain cannot be used");
  }
  const auto end = ERR_peek_last_error();
  if (ERR_GET_REASON(end) != PEM_R_NO_START_LINE)
    return describe_fault("cert: the chain holds something that is no PEM");
  ERR_clear_error();
  return {};
}

std::string describe_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "a date that cannot be read";
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

}  // namespace

Result<void> use_pair(SSL_CTX* library, const CertificatePair& pair) {
  if (auto used = use_certificates(library, pair.certificate_pem); !used) return used;
  Bio text = read_text(pair.key_pem);
  Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_password, nullptr));
  if (!key) return describe_fault("key: it holds no private key in PEM form without a password");
  if (SSL_CTX_use_PrivateKey(library, key.get()) != 1 || SSL_CTX_check_private_key(library) != 1) {
    return describe_fault("key: the key does not belong to the certificate");
  }
  return {};
}

std::string describe_validity(const std::string& pem, base::WallTime now) {
  ERR_clear_error();
  Bio text = read_text(pem);
  Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  ERR_clear_error();
  if (!own) return {};
  std::time_t moment = std::chrono::system_clock::to_time_t(now);
  if (X509_cmp_time(X509_get0_notAfter(own.get()), &moment) < 0)
    return "it expired on " + describe_time(X509_get0_notAfter(own.get()));
  if (X509_cmp_time(X509_get0_notBefore(own.get()), &moment) > 0)
    return "it is valid from " + describe_time(X509_get0_notBefore(own.get())) + " on";
  return {};
}

Result<Validity> read_validity(const std::string& pem) {
  ERR_clear_error();
  const Bio text = read_text(pem);
  const Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  std::tm from{};
  std::tm until{};
  if (!own || ASN1_TIME_to_tm(X509_get0_notBefore(own.get()), &from) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(own.get()), &until) != 1)
    return describe_fault("it holds no certificate in PEM form");
  return Validity{to_wall_time(::timegm(&from)), to_wall_time(::timegm(&until))};
}

bool is_for_host(const std::string& pem, const std::string& name) {
  const Bio text = read_text(pem);
  const Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  constexpr unsigned kRules = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  const bool is_for_it = own && X509_check_host(own.get(), name.data(), name.size(), kRules, nullptr) == 1;
  ERR_clear_error();
  return is_for_it;
}

bool holds_certificate(const std::string& pem) {
  const Bio text = read_text(pem);
  const Certificate own(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  ERR_clear_error();
  return own != nullptr;
}

bool holds_key(const std::string& pem) {
  const Bio text = read_text(pem);
  const Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_password, nullptr));
  ERR_clear_error();
  return key != nullptr;
}

}  // namespace moongate::tls
