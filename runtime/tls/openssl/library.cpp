// SPDX-License-Identifier: Apache-2.0
#include "tls/library.h"

#include <openssl/crypto.h>

namespace moongate::tls {

std::string describe_library() {
  return std::string("OpenSSL ") + OpenSSL_version(OPENSSL_VERSION_STRING) +
         (MOONGATE_HTTP3 ? "" : "; not in this build: HTTP/3");
}

}  // namespace moongate::tls
