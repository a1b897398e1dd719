// SPDX-License-Identifier: Apache-2.0
// Finds the route of a request. The order of the search is the one that router.h promises.
#include "router/router.h"

#include <algorithm>

namespace moongate::router {

namespace {

/// Stands in for the variables of a request that has none.
class NoVariables : public VariableSource {
 public:
  bool find(std::string_view, std::string_view*) override { return false; }
};

}  // namespace

bool Match::find_capture(std::string_view name, std::string_view* value) const {
  for (uint32_t i = capture_count; i-- > 0;) {
    if (captures[i].name != name) continue;
    *value = captures[i].value;
    return true;
  }
  return false;
}

bool Router::match(const Request& request, Match* out) const {
  uint64_t path_hash = hash_text(request.path);
  if (mode_ == Mode::kHostUri && match_hosts(request, path_hash, out)) return true;
  return match_space(0, request, path_hash, out);
}

bool Router::match_hosts(const Request& request, uint64_t path_hash, Match* out) const {
  if (!exact_hosts_.is_empty()) {
    auto is_same = [&](uint32_t host) { return spaces_[host].has_name(request.host); };
    uint32_t host = exact_hosts_.find(hash_text(request.host), is_same);
    if (host != kNone && match_host(host, request, path_hash, out)) return true;
  }
  if (suffix_root_ == kNone) return false;
  uint32_t node = suffixes_.find<true>(suffix_root_, request.host);
  for (; node != kNone; node = suffixes_.up(node)) {
    if (match_host(suffixes_.value(node), request, path_hash, out)) return true;
  }
  return false;
}

bool Router::match_host(uint32_t host, const Request& request, uint64_t path_hash, Match* out) const {
  for (uint32_t at = spaces_[host].next_port; at != kNone; at = spaces_[at].next_port) {
    if (spaces_[at].port == request.port && match_space(at, request, path_hash, out)) return true;
  }
  return match_space(host, request, path_hash, out);
}

bool Router::match_space(uint32_t space, const Request& request, uint64_t path_hash, Match* out) const {
  const HostSpace& paths = spaces_[space];
  if (paths.has_exact) {
    auto is_same = [&](uint32_t first) {
      const Candidate& candidate = candidates_[first];
      return std::string_view(candidate.pattern, candidate.pattern_size) == request.path &&
             (mode_ != Mode::kHostUri || candidate.host_first == space);
    };
    uint32_t first = exact_paths_.find(hash_in(path_hash, space), is_same);
    if (first != kNone && match_candidates(first, request, out)) return true;
  }
  for (uint32_t node = paths_.find(paths.tree_root, request.path); node != kNone; node = paths_.up(node)) {
    if (match_candidates(paths_.value(node), request, out)) return true;
  }
  return false;
}

bool Router::match_candidates(uint32_t first, const Request& request, Match* out) const {
  for (const Candidate* candidate = &candidates_[first];; candidate++) {
    if (is_match(*candidate, request, out)) return true;
    if (candidate->flags & kLast) return false;
  }
}

bool Router::is_match(const Candidate& candidate, const Request& request, Match* out) const {
  if (!has_method(candidate, request)) return false;
  if (!has_pattern(candidate, request.path, out)) return false;
  if (mode_ == Mode::kHostUri) {
    out->host_pattern = {spaces_[candidate.host_first].pattern, spaces_[candidate.host_first].pattern_size};
  } else {
    out->host_pattern = {};
  }
  if ((candidate.flags & kConditions) != 0 && !has_conditions(candidate, request, out)) return false;
  out->target = candidate.target;
  out->spec = candidate.spec;
  out->pattern = {candidate.pattern, candidate.pattern_size};
  return true;
}

/// Whether what stands behind the literal fits; the index has seen to the literal.
bool Router::has_pattern(const Candidate& candidate, std::string_view path, Match* out) const {
  out->capture_count = 0;
  if (candidate.element_count == 0) return true;
  std::string_view rest = path.substr(candidate.literal_size);
  if (candidate.flags & kRest) {
    if ((candidate.flags & kCapturedRest) == 0) return true;
    out->capture_count = 1;
    std::string_view name(candidate.pattern + candidate.literal_size + 1,
                          candidate.pattern_size - candidate.literal_size - 1);
    out->captures[0] = {name.empty() ? kUnnamed : name, rest};
    return true;
  }
  std::span<const PatternElement> elements(&elements_[candidate.element_first], candidate.element_count);
  if (!match_elements(elements, rest, out->captures)) return false;
  for (const PatternElement& element : elements) out->capture_count += element.is_captured;
  return true;
}

bool Router::has_method(const Candidate& candidate, const Request& request) const {
  if (candidate.methods & method_bit(request.method)) return true;
  if ((candidate.flags & kOtherMethods) == 0) return false;
  const auto& others = candidate.spec->other_methods;
  return std::find(others.begin(), others.end(), request.method_text) != others.end();
}

bool Router::has_host(const Candidate& candidate, const Request& request, Match* out) const {
  for (uint32_t i = 0; i < candidate.host_count; i++) {
    const HostPattern& pattern = host_patterns_[candidate.host_first + i];
    if (!pattern.matches(request.host, request.port)) continue;
    out->host_pattern = pattern.text;
    return true;
  }
  return false;
}

bool Router::has_conditions(const Candidate& candidate, const Request& request, Match* out) const {
  const RouteSpec& spec = *candidate.spec;
  if (candidate.flags & kRemote) {
    if (request.remote == nullptr || !spec.remote_addrs.contains(*request.remote)) return false;
  }
  if ((candidate.flags & kHosts) && !has_host(candidate, request, out)) return false;
  if (candidate.flags & kVars) {
    NoVariables none;
    VariableSource* variables = request.variables != nullptr ? request.variables : &none;
    if (!spec.vars->evaluate(*variables)) return false;
  }
  if (candidate.flags & kFilter) {
    if (request.filter == nullptr || !request.filter->accept(spec, candidate.target)) return false;
  }
  return true;
}

}  // namespace moongate::router
