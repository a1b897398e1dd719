// SPDX-License-Identifier: Apache-2.0
#include "config/kong_paths.h"

#include <algorithm>

#include "base/ascii.h"

namespace moongate::config {

namespace {

constexpr std::string_view kSpecial = "\\^$.|?*+()[]{}";

/// What every text begins with that the expression matches at its start.
std::string literal_of(std::string_view regex) {
  if (regex.find('|') != regex.npos) return "";  // the other branch may begin otherwise
  if (regex.starts_with('^')) regex.remove_prefix(1);
  std::string literal;
  for (size_t i = 0; i < regex.size(); ++i) {
    char c = regex[i];
    if (c == '\\') {
      if (i + 1 == regex.size() || base::is_alphanumeric(regex[i + 1])) break;  // \d and the like
      c = regex[++i];
    } else if (c == '?' || c == '*' || c == '{') {
      if (!literal.empty()) literal.pop_back();  // what stands before it may be missing
      break;
    } else if (kSpecial.find(c) != kSpecial.npos) {
      break;
    }
    literal.push_back(c);
  }
  return literal;
}

/// How many groups of an expression are numbered.
size_t count_groups(std::string_view regex) {
  size_t count = 0;
  bool is_in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      ++i;
    } else if (is_in_class) {
      is_in_class = c != ']';
    } else if (c == '[') {
      is_in_class = true;
    } else if (c == '(') {
      const std::string_view rest = regex.substr(i + 1);
      const bool is_named =
          (rest.starts_with("?<") && !rest.starts_with("?<=") && !rest.starts_with("?<!")) ||
          rest.starts_with("?P<");
      if (!rest.starts_with('?') || is_named) ++count;
    }
  }
  return count;
}

/// In files before 3.0 a path of nothing else is a prefix, and any other an expression.
bool is_plain(char c) {
  return base::is_alphanumeric(c) || std::string_view(".-_~/%").find(c) != std::string_view::npos;
}

std::string escape_dollars(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += c == '$' ? "$$" : std::string(1, c);
  return escaped;
}

/// What `path` takes of a request's path, as a regular expression of its own.
std::string matched_by(const KongPath& path) {
  if (!path.is_regex) return escape_regex(path.text);
  return "(?:" + path.text.substr(path.text.starts_with('^') ? 1 : 0) + ")";
}

std::vector<std::string> make_v1_rewrites(const std::vector<KongPath>& paths, std::string_view service_path,
                                          bool is_stripped) {
  const std::string base = escape_dollars(service_path);
  std::vector<std::string> rewrites;
  if (!is_stripped || paths.empty()) {
    if (service_path != "/") rewrites = {"^/(.*)$", base + "$1"};
    return rewrites;
  }
  for (const KongPath& path : paths) {
    const bool is_whole = path.text == "/" && !path.is_regex;
    if (is_whole && service_path == "/") continue;
    rewrites.push_back("^" + matched_by(path) + (service_path.ends_with('/') ? "/?(.*)$" : "(.*)$"));
    rewrites.push_back(base + "$" + std::to_string(path.is_regex ? count_groups(path.text) + 1 : 1));
  }
  return rewrites;
}

}  // namespace

std::string escape_regex(std::string_view text) {
  std::string regex;
  for (const char c : text) {
    if (kSpecial.find(c) != kSpecial.npos) regex.push_back('\\');
    regex.push_back(c);
  }
  return regex;
}

KongPath read_kong_path(std::string_view written, bool is_old) {
  KongPath path;
  const bool is_marked = written.starts_with('~');
  path.is_regex = is_marked || (is_old && !std::all_of(written.begin(), written.end(), is_plain));
  path.text = written.substr(is_marked ? 1 : 0);
  if (path.is_regex) {
    const bool is_anchored = path.text.starts_with('^');
    path.pattern = "^(?:" + path.text.substr(is_anchored ? 1 : 0) + ")";
    path.literal = literal_of(path.text);
    if (!path.literal.starts_with('/')) path.literal = "/";
    // A `*` means something in a pattern of ours, also one that was escaped.
    path.literal = path.literal.substr(0, path.literal.find('*'));
    return path;
  }
  path.literal = path.text.substr(0, path.text.find('*'));
  if (path.literal.size() != path.text.size()) path.pattern = "^" + escape_regex(path.text);
  return path;
}

std::vector<std::string> make_kong_rewrites(const std::vector<KongPath>& paths, std::string_view service_path,
                                            bool is_stripped, KongPathHandling handling) {
  if (handling == KongPathHandling::kV1) return make_v1_rewrites(paths, service_path, is_stripped);
  std::string_view bare = service_path;  // without the slash that joins
  if (bare.ends_with('/')) bare.remove_suffix(1);
  const std::string base = escape_dollars(service_path);
  const std::string joined = escape_dollars(bare);
  std::vector<std::string> rewrites;
  const auto add = [&](std::string pattern, std::string replacement) {
    rewrites.push_back(std::move(pattern));
    rewrites.push_back(std::move(replacement));
  };
  if (!is_stripped || paths.empty()) {
    if (bare.empty()) return rewrites;
    add("^/$", base);
    add("^(/.*)$", joined + "$1");
    return rewrites;
  }
  for (const KongPath& path : paths) {
    const std::string matched = matched_by(path);
    if (path.text == "/" && !path.is_regex) {
      if (bare.empty()) continue;
      add("^/$", base);
      add("^/(.*)$", joined + "/$1");
      continue;
    }
    // Nothing left behind the match: the service's path alone, and its slash only if the request had one.
    if (!bare.empty()) {
      const std::string_view slash_ahead = service_path.ends_with('/') ? "(?=.*/$)" : "(?=.+/$)";
      if (path.is_regex) add("^" + std::string(slash_ahead) + matched + "$", joined + "/");
      const bool has_slash = !path.is_regex && path.text.ends_with('/');
      add("^" + matched + "$", joined + (has_slash ? "/" : ""));
    }
    add("^" + matched + "/?(.*)$",
        joined + "/$" + std::to_string(path.is_regex ? count_groups(path.text) + 1 : 1));
  }
  return rewrites;
}

}  // namespace moongate::config
