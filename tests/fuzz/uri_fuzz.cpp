// SPDX-License-Identifier: Apache-2.0
// folder: http
// Whatever spelling of a target is accepted: its canonical path holds no dot segment, NUL or backslash; the
// encoding sent upstream reads back as the same path; and so does the path itself when a plugin hands it
// back. The first byte picks the policy, bit 7 sends the text through canonicalize_path.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/uri.h"

namespace {

using namespace moongate;

http::UriPolicy pick_policy(uint8_t choice) {
  http::UriPolicy policy;
  policy.encoded_slash = static_cast<http::UriPolicy::EncodedSlash>(choice % 3);
  policy.path_parameters = static_cast<http::UriPolicy::PathParameters>(choice / 3 % 3);
  policy.merge_slashes = choice / 9 % 2 == 0;
  return policy;
}

void check_path(std::string_view path, const http::UriPolicy& policy) {
  MG_ASSERT(!path.empty() && path[0] == '/');
  MG_ASSERT(path.find('\0') == std::string_view::npos && path.find('\\') == std::string_view::npos);
  MG_ASSERT(!policy.merge_slashes || path.find("//") == std::string_view::npos);
  for (const char c : path) MG_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  const std::string closed = std::string(path) + "/";
  for (const char* segment : {"/../", "/./", "/..;", "/.;", "/..%2F", "/.%2F"}) {
    const bool is_kept_slash = std::string_view(segment).find('%') != std::string_view::npos;
    if (is_kept_slash && policy.encoded_slash != http::UriPolicy::EncodedSlash::kKeep) continue;
    MG_ASSERT(closed.find(segment) == std::string::npos);
  }
}

void check_wire(std::string_view wire) {
  constexpr std::string_view kOthers = "-._~!$&'()*+,;=:@/%";
  for (const char c : wire) {
    const bool is_alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    MG_ASSERT(is_alphanumeric || kOthers.find(c) != std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const http::UriPolicy policy = pick_policy(data[0] & 0x7F);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  base::Arena arena;
  http::CanonicalUri uri;
  std::string_view reason;
  const bool is_accepted = (data[0] & 0x80) != 0
                               ? http::canonicalize_path(text, "a=1", true, policy, &arena, &uri, &reason)
                               : http::canonicalize_target(text, policy, &arena, &uri, &reason);
  if (!is_accepted) {
    MG_ASSERT(!reason.empty());
    return 0;
  }
  if (uri.is_asterisk) return 0;
  check_path(uri.path, policy);
  check_wire(uri.wire_path);

  http::CanonicalUri again;
  MG_ASSERT(http::canonicalize_target(uri.wire_path, policy, &arena, &again, &reason));
  MG_ASSERT(again.path == uri.path && again.wire_path == uri.wire_path && !again.has_query);
  MG_ASSERT(http::canonicalize_path(uri.path, {}, false, policy, &arena, &again, &reason));
  MG_ASSERT(again.path == uri.path && again.wire_path == uri.wire_path);
  return 0;
}
