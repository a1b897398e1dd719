// SPDX-License-Identifier: Apache-2.0
// Trailers as they are kept until they are sent: lines `name: value` CR LF.
#pragma once

#include <algorithm>
#include <string_view>

namespace moongate::http {

/// Calls `take(name, value)` for each line that is one.
template <class Take>
void each_trailer(std::string_view lines, Take take) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(std::min(line.size() + 2, lines.size()));
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos) take(line.substr(0, colon), line.substr(colon + 2));
  }
}

}  // namespace moongate::http
