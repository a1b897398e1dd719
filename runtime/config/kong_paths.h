// SPDX-License-Identifier: Apache-2.0
// The paths of Kong's routes: what they match, and what becomes of the request's path. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moongate::config {

/// One entry of `paths`: a prefix, or a regular expression behind `~`.
struct KongPath {
  std::string text;  // without the `~`
  bool is_regex = false;
  std::string literal;  // what every matching path begins with; of a prefix, up to a `*`
  std::string pattern;  // the regular expression that decides, anchored; empty where the literal does
};
/// `is_old`: from a file of a format before 3.0.
KongPath read_kong_path(std::string_view written, bool is_old = false);

/// The text with what means something in a regular expression escaped.
std::string escape_regex(std::string_view text);

/// How the service's path and the request's become one: v0 puts a slash between them, v1 puts nothing (and of
/// two slashes keeps one).
enum class KongPathHandling : uint8_t { kV0, kV1 };

/// `regex_uri` of proxy-rewrite: pattern, replacement, ... for a request that one of `paths` matched. Empty
/// when the path stays. `service_path` goes before; `is_stripped`: what matched goes away.
std::vector<std::string> make_kong_rewrites(const std::vector<KongPath>& paths, std::string_view service_path,
                                            bool is_stripped, KongPathHandling handling);

}  // namespace moongate::config
