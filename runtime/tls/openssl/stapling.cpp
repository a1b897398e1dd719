// SPDX-License-Identifier: Apache-2.0
// What OpenSSL knows about OCSP: the question for a certificate, what an answer says and whether it may be
// believed, and the place in the handshake where it is sent.
#include "tls/stapling.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "tls/certificate.h"
#include "tls/openssl/owned.h"
#include "tls/openssl/parts.h"

namespace moongate::tls {

using base::Result;
using base::WallTime;

namespace {

using Response = std::unique_ptr<OCSP_RESPONSE, Free<OCSP_RESPONSE_free>>;
using BasicResponse = std::unique_ptr<OCSP_BASICRESP, Free<OCSP_BASICRESP_free>>;
using Request = std::unique_ptr<OCSP_REQUEST, Free<OCSP_REQUEST_free>>;
using CertificateId = std::unique_ptr<OCSP_CERTID, Free<OCSP_CERTID_free>>;
using Store = std::unique_ptr<X509_STORE, Free<X509_STORE_free>>;

constexpr int kStatusRequestFeature = 5;                       // RFC 7633: the extension of RFC 6066 8
constexpr auto kClockDifferenceMax = std::chrono::minutes(5);  // between the responder and us

struct Issued {
  Certificate own;
  Certificate issuer;  // null when it is not there
};

Result<Issued> read_issued(const std::string& pem) {
  ERR_clear_error();
  Bio text = read_text(pem);
  Issued issued;
  issued.own.reset(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_password, nullptr));
  if (!issued.own) return base::invalid("cert: it holds no certificate in PEM form");
  while (Certificate next{PEM_read_bio_X509(text.get(), nullptr, refuse_password, nullptr)}) {
    if (X509_check_issued(next.get(), issued.own.get()) != X509_V_OK) continue;
    issued.issuer = std::move(next);
    break;
  }
  ERR_clear_error();
  return issued;
}

std::string key_of(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return {};
  return {reinterpret_cast<const char*>(digest), size};
}

std::string responder_of(X509* certificate) {
  std::string url;
  STACK_OF(OPENSSL_STRING)* urls = X509_get1_ocsp(certificate);
  if (urls != nullptr && sk_OPENSSL_STRING_num(urls) > 0) url = sk_OPENSSL_STRING_value(urls, 0);
  X509_email_free(urls);
  return url;
}

Result<std::string> make_request(const Issued& issued) {
  Request request(OCSP_REQUEST_new());
  CertificateId id(OCSP_cert_to_id(nullptr, issued.own.get(), issued.issuer.get()));
  if (!request || !id || OCSP_request_add0_id(request.get(), id.get()) == nullptr)
    return base::invalid("the question about the certificate cannot be made: " + take_library_errors());
  (void)id.release();  // the request's
  unsigned char* data = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &data);
  if (size <= 0) return base::invalid("the question about the certificate cannot be written");
  std::string text(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  return text;
}

// Signed by the issuer itself, or by whom the issuer has made a certificate for this end.
bool is_signed_for(OCSP_BASICRESP* basic, X509* issuer, WallTime now) {
  Store store(X509_STORE_new());
  if (!store || X509_STORE_add_cert(store.get(), issuer) != 1) return false;
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store.get()),
                             std::chrono::system_clock::to_time_t(
                                 std::chrono::time_point_cast<std::chrono::system_clock::duration>(now)));
  STACK_OF(X509)* known = sk_X509_new_null();
  if (known == nullptr) return false;
  const bool is_good =
      sk_X509_push(known, issuer) > 0 && OCSP_basic_verify(basic, known, store.get(), 0) == 1;
  sk_X509_free(known);
  return is_good;
}

Result<WallTime> read_time(const ASN1_GENERALIZEDTIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1)
    return base::invalid("the answer has a time that cannot be read");
  return to_wall_time(::timegm(&parts));
}

/// Until when the answer holds, if it says that the certificate is good and is of now.
Result<WallTime> read_verdict(OCSP_BASICRESP* basic, const Issued& issued, WallTime now) {
  CertificateId id(OCSP_cert_to_id(nullptr, issued.own.get(), issued.issuer.get()));
  int status = V_OCSP_CERTSTATUS_UNKNOWN;
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  if (!id ||
      OCSP_resp_find_status(basic, id.get(), &status, nullptr, nullptr, &this_update, &next_update) != 1)
    return base::invalid("the answer is about another certificate");
  const Result<WallTime> from = read_time(this_update);
  if (!from) return from;
  if (*from > now + kClockDifferenceMax)
    return base::invalid("the answer is of the future; is this machine's clock right?");
  WallTime until = WallTime::max();
  if (next_update != nullptr) {
    const Result<WallTime> read = read_time(next_update);
    if (!read) return read;
    until = *read;
  }
  if (until <= now) return base::invalid("the answer is out of date");
  if (status == V_OCSP_CERTSTATUS_REVOKED)
    return base::Error{base::ErrorKind::kConflict, base::Side::kUpstream, false,
                       "the certificate is revoked; get a new one"};
  if (status != V_OCSP_CERTSTATUS_GOOD) return base::invalid("the responder does not know the certificate");
  return until;
}

}  // namespace

Result<StapleSubject> StapleSubject::read(const std::string& certificate_pem) {
  Result<Issued> issued = read_issued(certificate_pem);
  if (!issued) return issued.error();
  if (!issued->issuer)
    return base::invalid(
        "cert: its issuer's certificate is not behind it; append it, so that OCSP can be asked");
  Result<std::string> request = make_request(*issued);
  if (!request) return request.error();
  return StapleSubject{certificate_pem, key_of(issued->own.get()), responder_of(issued->own.get()),
                       request.take()};
}

bool must_be_stapled(const std::string& certificate_pem) {
  const Result<Issued> issued = read_issued(certificate_pem);
  if (!issued) return false;
  auto* features =
      static_cast<TLS_FEATURE*>(X509_get_ext_d2i(issued->own.get(), NID_tlsfeature, nullptr, nullptr));
  bool is_there = false;
  for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
    is_there |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == kStatusRequestFeature;
  sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
  ERR_clear_error();
  return is_there;
}

Result<Staple> check_staple(const StapleSubject& subject, std::string_view response,
                            const StapleChecks& checks) {
  if (response.empty() || response.size() > kStapleSizeMaxBytes)
    return base::invalid("an answer of " + std::to_string(response.size()) + " bytes is none");
  const Result<Issued> issued = read_issued(subject.certificate_pem);
  if (!issued) return issued.error();
  const auto* at = reinterpret_cast<const unsigned char*>(response.data());
  const auto* const end = at + response.size();
  const Response read(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(response.size())));
  ERR_clear_error();
  if (!read || at != end) return base::invalid("what came is no OCSP response");
  const int status = OCSP_response_status(read.get());
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
    return base::invalid(std::string("the responder says ") + OCSP_response_status_str(status));
  const BasicResponse basic(OCSP_response_get1_basic(read.get()));
  if (!basic) return base::invalid("the answer is of a kind that is not known");
  if (checks.has_signature && !is_signed_for(basic.get(), issued->issuer.get(), checks.now)) {
    const std::string detail = take_library_errors();
    return base::invalid("the answer is not signed by the certificate's issuer" +
                         (detail.empty() ? "" : " (" + detail + ")"));
  }
  const Result<WallTime> until = read_verdict(basic.get(), *issued, checks.now);
  ERR_clear_error();
  if (!until) return until.error();
  return Staple{subject.key, std::string(response), *until};
}

int send_staple(SSL* library, void*) {
  const X509* certificate = SSL_get_certificate(library);
  if (certificate == nullptr) return SSL_TLSEXT_ERR_NOACK;
  const std::string* response = Staples::of_process().find(key_of(certificate), base::Clock::wall());
  if (response == nullptr) return SSL_TLSEXT_ERR_NOACK;
  auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(response->data(), response->size()));
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(library, copy, static_cast<long>(response->size()));
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace moongate::tls
