// SPDX-License-Identifier: Apache-2.0
#include "tls/client_chain.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "tls/certificate.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

namespace {

using Certificates =
    std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * all) { sk_X509_pop_free(all, X509_free); })>;

std::string name_text(X509_NAME* name) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out) return {};
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string pem_text(X509* certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (!out || PEM_write_bio_X509(out.get(), certificate) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

Certificate read_der(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return certificate;
}

}  // namespace

PeerCertificate describe_certificate(X509* certificate) {
  PeerCertificate peer;
  peer.is_present = true;
  peer.subject = name_text(X509_get_subject_name(certificate));
  peer.issuer = name_text(X509_get_issuer_name(certificate));
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate);
  peer.serial = hex(serial->data, static_cast<size_t>(serial->length), base::kHexUpper);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha1(), digest, &size) == 1)
    peer.fingerprint = hex(digest, size, base::kHexLower);
  peer.pem = pem_text(certificate);
  return peer;
}

PeerCertificate describe_certificate(std::string_view der) {
  const Certificate certificate = read_der(der);
  return certificate ? describe_certificate(certificate.get()) : PeerCertificate{};
}

base::WallTime end_of(std::string_view der) {
  const Certificate certificate = read_der(der);
  std::tm parts{};
  if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &parts) != 1) return {};
  return to_wall_time(::timegm(&parts));
}

bool leads_to_authority(const ServerContext& context, const std::vector<std::string_view>& chain) {
  ERR_clear_error();
  SSL_CTX* library = context.parts().library.get();
  Certificates others(sk_X509_new_null());
  Certificate own;
  for (std::string_view der : chain) {
    Certificate one = read_der(der);
    if (!one || !others) return false;
    if (!own) {
      own = std::move(one);
    } else if (sk_X509_push(others.get(), one.get()) > 0) {
      static_cast<void>(one.release());
    }
  }
  const std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>> check(X509_STORE_CTX_new());
  if (!own || !check ||
      X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(library), own.get(), others.get()) != 1 ||
      X509_STORE_CTX_set_default(check.get(), "ssl_client") != 1)
    return false;
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(check.get());
  X509_VERIFY_PARAM_set_depth(rules, context.parts().verify_depth);
  X509_VERIFY_PARAM_set_auth_level(rules, SSL_CTX_get_security_level(library));
  const bool is_trusted = X509_verify_cert(check.get()) == 1;
  ERR_clear_error();
  return is_trusted;
}

}  // namespace moongate::tls
