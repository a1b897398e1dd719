// SPDX-License-Identifier: Apache-2.0
#include "tls/library.h"

#include <mbedtls/version.h>

namespace moongate::tls {

std::string describe_library() {
  char version[9];  // what the library asks for
  mbedtls_version_get_string(version);
  return std::string("mbedTLS ") + version +
         "; not in this build: TLSv1.3, OCSP stapling, EdDSA, SSL_CERT_DIR, HTTP/3";
}

}  // namespace moongate::tls
