// SPDX-License-Identifier: Apache-2.0
// One entry of a route's `hosts`: `example.com`, `*.example.com`, `example.com:8080`, `[::1]`, `*`.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace moongate::router {

/// Shape: views into the text it was parsed from.
struct HostPattern {
  std::string_view text;  // all of it
  std::string_view name;  // without the leading `*` and without the port
  bool is_suffix = false;
  uint16_t port = 0;  // 0: whatever the request's Host has

  /// `host` is in lower case, without its port.
  bool matches(std::string_view host, uint16_t host_port) const {
    if (port != 0 && port != host_port) return false;
    return is_suffix ? host.ends_with(name) : host == name;
  }
};

/// Takes apart a pattern that is already in lower case. What is no valid port (1..65535) stays part of the
/// name, as in an IPv6 address without brackets.
HostPattern parse_host_pattern(std::string_view text);

/// Refuses a pattern that no request's host can be like: `a.*.com`, `a.com:99999`, `http://a.com`.
base::Result<void> check_host_pattern(std::string_view text);

}  // namespace moongate::router
