// SPDX-License-Identifier: Apache-2.0
// mbedTLS 2.28 has no place in its handshake for an OCSP answer, and reads none: nothing is stapled, and who
// asks for it is told so.
#include "tls/stapling.h"

#include <mbedtls/asn1.h>

#include "tls/mbedtls/parts.h"

namespace moongate::tls {

using base::Result;

namespace {

constexpr std::string_view kFeatureExtension =
    "\x2B\x06\x01\x05\x05\x07\x01\x18";  // RFC 7633: id-pe-tlsfeature
constexpr int kStatusRequestFeature = 5;

base::Error refuse() {
  return base::invalid("this build uses mbedTLS, which cannot staple; use the build with OpenSSL");
}

}  // namespace

Result<StapleSubject> StapleSubject::read(const std::string&) { return refuse(); }

bool must_be_stapled(const std::string& certificate_pem) {
  Certificates certificates;
  if (!read_certificates(certificate_pem, certificates)) return false;
  const std::string_view features = find_extension(*certificates.get(), kFeatureExtension);
  auto* at = reinterpret_cast<unsigned char*>(const_cast<char*>(features.data()));  // it is only read
  const unsigned char* end = at + features.size();
  size_t size = 0;
  if (mbedtls_asn1_get_tag(&at, end, &size, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
    return false;
  int feature = 0;
  while (at < end && mbedtls_asn1_get_int(&at, end, &feature) == 0) {
    if (feature == kStatusRequestFeature) return true;
  }
  return false;
}

Result<Staple> check_staple(const StapleSubject&, std::string_view, const StapleChecks&) { return refuse(); }

}  // namespace moongate::tls
