// SPDX-License-Identifier: Apache-2.0
// The part that needs no TLS library.
#include "tls/certificate.h"

#include <arpa/inet.h>

namespace moongate::tls {

bool is_address(std::string_view name) {
  char text[INET6_ADDRSTRLEN];
  if (name.empty() || name.size() >= sizeof text || name.find('\0') != name.npos) return false;
  text[name.copy(text, sizeof text - 1)] = '\0';
  in6_addr address;
  return ::inet_pton(AF_INET, text, &address) == 1 || ::inet_pton(AF_INET6, text, &address) == 1;
}

}  // namespace moongate::tls
