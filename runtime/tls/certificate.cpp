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

std::string hex(const unsigned char* bytes, size_t size, const char* digits) {
  std::string text;
  for (size_t i = 0; i < size; i++) {
    text.push_back(digits[bytes[i] >> 4]);
    text.push_back(digits[bytes[i] & 15]);
  }
  return text;
}

}  // namespace moongate::tls
