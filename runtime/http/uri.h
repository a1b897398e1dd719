// SPDX-License-Identifier: Apache-2.0
// The one canonical form of a request target. It is made once; the router, plugins, logs and the upstream
// all see this object, so that no spelling of a path can be allowed as one thing and served as another.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"

namespace moongate::http {

/// What to do with the spellings that servers disagree on. The defaults refuse (400).
struct UriPolicy {
  enum class EncodedSlash : uint8_t {
    kRefuse,
    kKeep,  // `%2F` stays encoded for matchers and upstream alike (and so does `%25`, to keep the two apart)
    kDecode,  // it is a slash, for matchers and upstream alike
  };
  enum class PathParameters : uint8_t {
    kRefuse,
    kKeep,   // `;` is a character like any other
    kStrip,  // `;...` is removed from each segment, for matchers and upstream alike
  };
  EncodedSlash encoded_slash = EncodedSlash::kRefuse;
  PathParameters path_parameters = PathParameters::kRefuse;
  bool merge_slashes = true;  // `//` becomes `/`, for matchers and upstream alike
};

/// An immutable request target.
struct CanonicalUri {
  std::string_view
      path;  // decoded, absolute, no dot segments: what routes, plugins and logs see (nginx's $uri)
  std::string_view wire_path;  // the percent-encoding of `path` that is sent upstream; one per path
  std::string_view query;      // after the first `?`, as received (already checked), without it
  bool has_query = false;      // tells `/a?` from `/a`
  std::string_view authority;  // of an absolute-form target, else empty
  bool is_asterisk = false;    // OPTIONS *: path and wire_path are "*"
};

/// Canonicalises an origin-form, absolute-form (http, https) or asterisk-form target. Refused, whatever the
/// policy: control characters and DEL, raw or encoded, except that encoded HT, CR and LF stay encoded in
/// `path` too; bad percent-encodings in the path; `\` and `%5C`; segments above the root (`/../`); dot
/// segments behind parameters or kept slashes (`/..;x/`,
/// `/..%2F`); fragments. `%3B` is refused where `;` is. Bytes above 0x7F are accepted raw and sent encoded.
/// Views point into `arena` or `target`, which must outlive `out`. On refusal returns false and a static
/// reason.
bool canonicalize_target(std::string_view target, const UriPolicy& policy, base::Arena* arena,
                         CanonicalUri* out, std::string_view* reason);

/// Makes a canonical URI from a path as plugins see and rewrite it (`%` is a plain character there), and a
/// query. Dot segments are resolved, slashes merged by the policy; what may not be in a path or query refuses
/// as above. The `path` of a CanonicalUri of the same policy gives that path again: the encodings that stay
/// in a path (`%09`, `%0A`, `%0D`, and under kKeep
/// `%2F` and `%25`) are read as such. Views point into `arena` only.
bool canonicalize_path(std::string_view decoded_path, std::string_view query, bool has_query,
                       const UriPolicy& policy, base::Arena* arena, CanonicalUri* out,
                       std::string_view* reason);

/// Percent-encodes into `arena`; text without anything to encode comes back as it is. kPath leaves `/` and
/// what RFC 3986 allows in a path; kComponent encodes all but unreserved.
enum class EscapeSet : uint8_t { kPath, kComponent };
std::string_view escape(std::string_view text, EscapeSet set, base::Arena* arena);
/// Decodes percent-encodings into `arena`; text without any comes back as it is. Malformed ones stay as they
/// are. With `plus_is_space`, `+` becomes a space.
std::string_view unescape(std::string_view text, bool plus_is_space, base::Arena* arena);

/// Walks `a=1&b&c=`: calls give raw (still encoded) views. Empty ones
/// (`a&&b`) are passed over. Returns false at the end. `has_value` tells `b` from `b=`.
bool next_query_argument(std::string_view* rest, std::string_view* name, std::string_view* value,
                         bool* has_value);

}  // namespace moongate::http
