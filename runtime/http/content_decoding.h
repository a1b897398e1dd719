// SPDX-License-Identifier: Apache-2.0
// Undoes content codings of bodies that are whole, for plugins that read them. What comes out is bounded
// twice, in size and as a multiple of what went in: a few bytes can stand for gigabytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/content_coding.h"

namespace moongate::http {

struct DecodingLimits {
  size_t size_max_bytes = size_t{64} << 20;
  size_t ratio_max = 200;                      // of plain to coded bytes,
  size_t size_always_bytes = size_t{1} << 20;  // where there is more than this of them
};

/// Decodes all of `coded`. Fails with kLimit for what grows beyond a limit, kInvalid for what is broken, cut
/// short or followed by something else.
base::Result<std::string> decode_content(Coding coding, std::string_view coded, const DecodingLimits& limits);

}  // namespace moongate::http
