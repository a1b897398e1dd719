// SPDX-License-Identifier: Apache-2.0
// Finds the route of a request. The order of the search is the one that router.h promises.
#include "router/router.h"

#include <algorithm>
#include <tuple>
#include <unordered_set>

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
  return walk(request,
              [&](const Candidate& candidate) { return judge(candidate, request, out) == Verdict::kTaken; });
}

template <class Visit>
bool Router::walk(const Request& request, Visit visit) const {
  uint64_t path_hash = hash_text(request.path);
  if (mode_ == Mode::kHostUri && walk_hosts(request, path_hash, visit)) return true;
  return walk_space(0, request, path_hash, visit);
}

template <class Visit>
bool Router::walk_hosts(const Request& request, uint64_t path_hash, Visit visit) const {
  if (!exact_hosts_.is_empty()) {
    auto is_same = [&](uint32_t host) { return spaces_[host].has_name(request.host); };
    uint32_t host = exact_hosts_.find(hash_text(request.host), is_same);
    if (host != kNone && walk_host(host, request, path_hash, visit)) return true;
  }
  if (suffix_root_ == kNone) return false;
  uint32_t node = suffixes_.find<true>(suffix_root_, request.host);
  for (; node != kNone; node = suffixes_.up(node)) {
    if (walk_host(suffixes_.value(node), request, path_hash, visit)) return true;
  }
  return false;
}

template <class Visit>
bool Router::walk_host(uint32_t host, const Request& request, uint64_t path_hash, Visit visit) const {
  for (uint32_t at = spaces_[host].next_port; at != kNone; at = spaces_[at].next_port) {
    if (spaces_[at].port == request.port && walk_space(at, request, path_hash, visit)) return true;
  }
  return walk_space(host, request, path_hash, visit);
}

template <class Visit>
bool Router::walk_space(uint32_t space, const Request& request, uint64_t path_hash, Visit visit) const {
  const HostSpace& paths = spaces_[space];
  if (paths.has_exact) {
    auto is_same = [&](uint32_t first) {
      const Candidate& candidate = candidates_[first];
      return std::string_view(candidate.pattern, candidate.pattern_size) == request.path &&
             (mode_ != Mode::kHostUri || candidate.host_first == space);
    };
    uint32_t first = exact_paths_.find(hash_in(path_hash, space), is_same);
    if (first != kNone && walk_candidates(first, visit)) return true;
  }
  for (uint32_t node = paths_.find(paths.tree_root, request.path); node != kNone; node = paths_.up(node)) {
    const uint32_t list = paths_.value(node);
    if (list != kEmptyList && walk_candidates(list, visit)) return true;
  }
  return false;
}

template <class Visit>
bool Router::walk_candidates(uint32_t first, Visit visit) const {
  for (const Candidate* candidate = &candidates_[first];; candidate++) {
    if (visit(*candidate)) return true;
    if (candidate->flags & kLast) return false;
  }
}

Verdict Router::judge(const Candidate& candidate, const Request& request, Match* out) const {
  if (!has_method(candidate, request)) return Verdict::kMethod;
  if (!has_pattern(candidate, request.path, out)) return Verdict::kPath;
  if (mode_ == Mode::kHostUri) {
    out->host_pattern = {spaces_[candidate.host_first].pattern, spaces_[candidate.host_first].pattern_size};
  } else {
    out->host_pattern = {};
  }
  if ((candidate.flags & kConditions) != 0) {
    Verdict verdict = judge_conditions(candidate, request, out);
    if (verdict != Verdict::kTaken) return verdict;
  }
  out->target = candidate.target;
  out->spec = candidate.spec;
  out->pattern = {candidate.pattern, candidate.pattern_size};
  return Verdict::kTaken;
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

Verdict Router::judge_conditions(const Candidate& candidate, const Request& request, Match* out) const {
  const RouteSpec& spec = *candidate.spec;
  if (candidate.flags & kRemote) {
    if (request.remote == nullptr || !spec.remote_addrs.contains(*request.remote))
      return Verdict::kRemoteAddress;
  }
  if ((candidate.flags & kHosts) && !has_host(candidate, request, out)) return Verdict::kHost;
  if (candidate.flags & kVars) {
    NoVariables none;
    VariableSource* variables = request.variables != nullptr ? request.variables : &none;
    if (!spec.vars->evaluate(*variables)) return Verdict::kVars;
  }
  if (candidate.flags & kFilter) {
    if (request.filter == nullptr || !request.filter->accept(spec, candidate.target)) return Verdict::kFilter;
  }
  return Verdict::kTaken;
}

bool Router::explain(const Request& request, Match* out, size_t trials_max,
                     std::vector<Trial>* trials) const {
  bool is_found = walk(request, [&](const Candidate& candidate) {
    Verdict verdict = judge(candidate, request, out);
    // The method is asked first, being cheapest; one whose path is another's is no candidate at all.
    Match ignored;
    bool is_near = verdict != Verdict::kPath &&
                   (verdict != Verdict::kMethod || has_pattern(candidate, request.path, &ignored));
    if (is_near && (trials->size() < trials_max || verdict == Verdict::kTaken))
      trials->push_back(make_trial(candidate, verdict));
    return verdict == Verdict::kTaken;
  });
  if (mode_ == Mode::kHostUri) add_other_hosts(request, trials_max, trials);
  return is_found;
}

Trial Router::make_trial(const Candidate& candidate, Verdict verdict) const {
  Trial trial{candidate.target, candidate.spec, {candidate.pattern, candidate.pattern_size}, {}, verdict};
  if (mode_ == Mode::kHostUri) {
    const HostSpace& space = spaces_[candidate.host_first];
    trial.host_pattern = {space.pattern, space.pattern_size};
  }
  return trial;
}

void Router::add_other_hosts(const Request& request, size_t trials_max, std::vector<Trial>* trials) const {
  std::vector<uint32_t> seen;
  for (const Trial& trial : *trials) seen.push_back(trial.target);
  const size_t count_max = trials->size() + trials_max;
  for (size_t i = 0; i < candidate_count_ && trials->size() < count_max; i++) {
    const Candidate& candidate = candidates_[i];
    std::string_view pattern(candidate.pattern, candidate.pattern_size);
    Match ignored;
    bool is_near =
        (candidate.flags & kDead) == 0 && candidate.host_first != 0 && has_method(candidate, request) &&
        (candidate.element_count == 0 ? pattern == request.path
                                      : request.path.starts_with(pattern.substr(0, candidate.literal_size)) &&
                                            has_pattern(candidate, request.path, &ignored));
    if (!is_near || std::find(seen.begin(), seen.end(), candidate.target) != seen.end()) continue;
    seen.push_back(candidate.target);
    trials->push_back(make_trial(candidate, Verdict::kHost));
  }
}

std::vector<Router::Listed> Router::list() const {
  // Hosts before suffixes before none, longer suffixes first, a port before none; then as in a search.
  auto host_rank = [this](const Candidate& candidate) {
    if (mode_ != Mode::kHostUri) return std::tuple(0, uint32_t{0}, std::string_view(), 0);
    const HostSpace& space = spaces_[candidate.host_first];
    int kind = candidate.host_first == 0 ? 2 : space.is_suffix ? 1 : 0;
    return std::tuple(kind, kind == 1 ? UINT32_MAX - space.name_size : 0,
                      std::string_view(space.pattern, space.pattern_size), space.port == 0 ? 1 : 0);
  };
  auto rank = [&](uint32_t index) {
    const Candidate& candidate = candidates_[index];
    return std::tuple(host_rank(candidate), candidate.element_count == 0 ? 0 : 1,
                      candidate.element_count == 0 ? 0 : UINT32_MAX - candidate.literal_size,
                      std::string_view(candidate.pattern, candidate.literal_size), index);
  };
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < candidate_count_; i++) {
    if ((candidates_[i].flags & kDead) == 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return rank(a) < rank(b); });
  std::vector<Listed> listed;
  std::unordered_set<uint32_t> seen;
  for (uint32_t index : order) {
    const Candidate& candidate = candidates_[index];
    if (seen.insert(candidate.target).second) listed.push_back({candidate.target, candidate.spec});
  }
  return listed;
}

}  // namespace moongate::router
