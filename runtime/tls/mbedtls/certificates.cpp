// SPDX-License-Identifier: Apache-2.0
// Certificates and keys out of PEM texts, for both sides of a handshake.
#include "tls/certificate.h"

#include <mbedtls/error.h>

#include <ctime>

#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";

const unsigned char* bytes_of(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.c_str());
}

size_t count(const mbedtls_x509_crt* first) {
  size_t found = 0;
  for (const mbedtls_x509_crt* at = first; at != nullptr && at->version != 0; at = at->next) found++;
  return found;
}

size_t count_marks(const std::string& pem) {
  size_t found = 0;
  for (size_t at = pem.find(kBegin); at != pem.npos; at = pem.find(kBegin, at + kBegin.size())) found++;
  return found;
}

std::string describe_time(std::time_t moment) {
  std::tm parts{};
  if (::gmtime_r(&moment, &parts) == nullptr) return "a date that cannot be read";
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::time_t moment_of(const mbedtls_x509_time& time) {
  std::tm parts{};
  parts.tm_year = time.year - 1900;
  parts.tm_mon = time.mon - 1;
  parts.tm_mday = time.day;
  parts.tm_hour = time.hour;
  parts.tm_min = time.min;
  parts.tm_sec = time.sec;
  return ::timegm(&parts);
}

}  // namespace

std::string describe_code(int code) {
  char text[160];
  mbedtls_strerror(code, text, sizeof text);
  return text;
}

base::Error describe_fault(const std::string& what, int code) {
  return base::invalid(what + " (" + describe_code(code) + ")");
}

Result<void> read_certificates(const std::string& pem, Certificates& certificates) {
  const size_t wanted = count_marks(pem);
  if (wanted == 0) return base::invalid("it holds no certificate in PEM form");
  const int result = mbedtls_x509_crt_parse(certificates.get(), bytes_of(pem), pem.size() + 1);
  if (result < 0) return describe_fault("a certificate cannot be used", result);
  if (result > 0 || count(certificates.get()) != wanted)
    return base::invalid(
        "it holds something that is no certificate in PEM form, or is of a kind that mbedTLS "
        "does not know");
  return {};
}

Result<void> read_pair(const CertificatePair& pair, OwnPair& own) {
  if (auto read = read_certificates(pair.certificate_pem, own.certificates); !read)
    return base::invalid("cert: " + read.error().detail);
  const int fault =
      mbedtls_pk_parse_key(own.key.get(), bytes_of(pair.key_pem), pair.key_pem.size() + 1, nullptr, 0);
  if (fault != 0) return describe_fault("key: it holds no private key in PEM form without a password", fault);
  if (mbedtls_pk_check_pair(&own.certificates->pk, own.key.get()) != 0)
    return base::invalid("key: the key does not belong to the certificate");
  return {};
}

std::string describe_validity(const std::string& pem, base::WallTime now) {
  Certificates certificates;
  if (mbedtls_x509_crt_parse(certificates.get(), bytes_of(pem), pem.size() + 1) < 0) return {};
  const std::time_t moment = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(now));
  const std::time_t first = moment_of(certificates->valid_from);
  const std::time_t last = moment_of(certificates->valid_to);
  if (last < moment) return "it expired on " + describe_time(last);
  if (first > moment) return "it is valid from " + describe_time(first) + " on";
  return {};
}

Result<Validity> read_validity(const std::string& pem) {
  Certificates certificates;
  if (count_marks(pem) == 0 || mbedtls_x509_crt_parse(certificates.get(), bytes_of(pem), pem.size() + 1) < 0)
    return base::invalid("it holds no certificate in PEM form");
  return Validity{to_wall_time(moment_of(certificates->valid_from)),
                  to_wall_time(moment_of(certificates->valid_to))};
}

// The library compares names along with everything else, and tells one from the other.
bool is_for_host(const std::string& pem, const std::string& name) {
  Certificates certificates;
  if (count_marks(pem) == 0 || mbedtls_x509_crt_parse(certificates.get(), bytes_of(pem), pem.size() + 1) < 0)
    return false;
  uint32_t flags = 0;
  static_cast<void>(mbedtls_x509_crt_verify(certificates.get(), certificates.get(), nullptr, name.c_str(),
                                            &flags, nullptr, nullptr));
  return (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) == 0;
}

bool holds_certificate(const std::string& pem) {
  Certificates certificates;
  return count_marks(pem) > 0 &&
         mbedtls_x509_crt_parse(certificates.get(), bytes_of(pem), pem.size() + 1) >= 0;
}

bool holds_key(const std::string& pem) {
  Key key;
  return mbedtls_pk_parse_key(key.get(), bytes_of(pem), pem.size() + 1, nullptr, 0) == 0;
}

}  // namespace moongate::tls
