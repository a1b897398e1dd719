// SPDX-License-Identifier: Apache-2.0
// PROXY protocol, versions 1 and 2, as a load balancer in front sends it: who the client really is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::proxy {

enum class ProxyHeaderStatus : uint8_t { kIncomplete, kDone, kBad };

struct ProxyHeader {
  size_t size = 0;          // bytes the header takes
  bool has_source = false;  // false for LOCAL and UNKNOWN: the socket's own peer stands
  std::string source;       // address text
  uint16_t source_port = 0;
};

/// Parses a header at the start of `bytes`. Anything but an exact header is kBad: the connection ends.
ProxyHeaderStatus parse_proxy_header(std::string_view bytes, ProxyHeader* out);

}  // namespace moongate::proxy
