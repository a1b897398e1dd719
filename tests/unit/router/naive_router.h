// SPDX-License-Identifier: Apache-2.0
// A router that is slow on purpose: it holds the request against every pattern of every route, character by
// character, sorts what fits by the documented precedence and takes the first whose conditions hold. It
// shares no code with the fast one except RouteSpec and its conditions, and exists to be compared with it.
#pragma once

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "router/router.h"

namespace moongate::router {

struct NaiveMatch {
  const RouteSpec* spec = nullptr;
  uint32_t target = 0;
  std::string pattern;
  std::string host_pattern;
  std::vector<std::pair<std::string, std::string>> captures;
};

class NaiveRouter {
 public:
  NaiveRouter(Router::Mode mode, std::vector<std::shared_ptr<const RouteSpec>> specs)
      : mode_(mode), specs_(std::move(specs)) {}

  bool match(const Request& request, NaiveMatch* out) const {
    std::vector<Fit> fits = find_fits(request);
    std::stable_sort(fits.begin(), fits.end(), [](const Fit& a, const Fit& b) { return a.rank < b.rank; });
    for (Fit& fit : fits) {
      if (!has_conditions(*fit.spec, request)) continue;
      *out = {fit.spec, fit.spec->target, std::string(fit.uri), fit.host, std::move(fit.captures)};
      return true;
    }
    return false;
  }

 private:
  using Captures = std::vector<std::pair<std::string, std::string>>;
  // Host class, suffix length, port, path class, literal length, priority, pattern length, order: smaller is
  // earlier.
  using Rank = std::tuple<int, long, int, int, long, long, long, uint32_t>;
  struct Fit {
    Rank rank;
    const RouteSpec* spec;
    std::string_view uri;
    std::string host;
    Captures captures;
  };
  struct HostFit {
    int host_class = 3;  // 1 exact, 2 suffix, 3 none
    long suffix_size = 0;
    bool has_port = false;
    std::string text;
  };

  bool has_parameters() const { return mode_ == Router::Mode::kUriWithParameter; }

  std::vector<Fit> find_fits(const Request& request) const {
    std::vector<Fit> fits;
    for (const auto& spec : specs_) {
      std::vector<HostFit> hosts = find_hosts(*spec, request);
      if (hosts.empty()) continue;
      for (const std::string& uri : spec->uris) {
        Captures captures;
        if (!fits_path(uri, 0, request.path, 0, &captures)) continue;
        for (const HostFit& host : hosts) {
          fits.push_back({rank(*spec, uri, host), spec.get(), uri, host.text, captures});
        }
      }
    }
    return fits;
  }

  /// In the host mode every host that fits is a way in; in the others the first one decides.
  std::vector<HostFit> find_hosts(const RouteSpec& spec, const Request& request) const {
    if (spec.hosts.empty()) return {HostFit{}};
    std::vector<HostFit> fits;
    for (const std::string& host : spec.hosts) {
      HostFit fit;
      if (!fits_host(host, request, &fit)) continue;
      fits.push_back(fit);
      if (mode_ != Router::Mode::kHostUri) return {fits[0]};
    }
    return fits;
  }

  static bool fits_host(std::string pattern, const Request& request, HostFit* fit) {
    for (char& c : pattern) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    fit->text = pattern;
    bool is_suffix = pattern[0] == '*';
    if (is_suffix) pattern.erase(0, 1);
    std::string port = ":" + std::to_string(request.port);
    if (request.port != 0 && pattern.size() >= port.size() &&
        pattern.compare(pattern.size() - port.size(), port.size(), port) == 0) {
      pattern.resize(pattern.size() - port.size());
      fit->has_port = true;
    }
    fit->host_class = is_suffix ? 2 : 1;
    fit->suffix_size = is_suffix ? static_cast<long>(pattern.size()) : 0;
    if (!is_suffix) return request.host == pattern;
    return request.host.size() >= pattern.size() &&
           request.host.substr(request.host.size() - pattern.size()) == pattern;
  }

  Rank rank(const RouteSpec& spec, const std::string& uri, const HostFit& host) const {
    size_t literal = 0;
    while (literal < uri.size() && !is_special(uri, literal)) literal++;
    bool is_exact = literal == uri.size();
    bool by_host = mode_ == Router::Mode::kHostUri;
    return {by_host ? host.host_class : 0,  by_host ? -host.suffix_size : 0,
            by_host && !host.has_port,      is_exact ? 0 : 1,
            -static_cast<long>(literal),    -static_cast<long>(spec.priority),
            -static_cast<long>(uri.size()), spec.order};
  }

  static bool begins_segment(std::string_view uri, size_t at) { return at == 0 || uri[at - 1] == '/'; }
  bool is_special(std::string_view uri, size_t at) const {
    return uri[at] == '*' || (has_parameters() && at > 0 && uri[at] == ':' && begins_segment(uri, at));
  }

  /// Tries every way in which uri[at..] can cover path[from..], the longest star first.
  bool fits_path(std::string_view uri, size_t at, std::string_view path, size_t from,
                 Captures* captures) const {
    if (at == uri.size()) return from == path.size();
    if (!is_special(uri, at)) {
      return from < path.size() && uri[at] == path[from] && fits_path(uri, at + 1, path, from + 1, captures);
    }
    bool is_star = uri[at] == '*';
    size_t segment_end = std::min(uri.find('/', at), uri.size());
    bool is_whole = begins_segment(uri, at) && (has_parameters() || segment_end == at + 1);
    std::string name(uri.substr(at + 1, is_whole ? segment_end - at - 1 : 0));
    if (is_star && name.empty()) name = ":ext";
    size_t next = is_whole ? segment_end : at + 1;
    size_t end_max = is_star ? path.size() : std::min(path.find('/', from), path.size());
    for (size_t end = end_max + 1; end-- > from + (is_star ? 0 : 1);) {
      size_t count = captures->size();
      if (is_whole) captures->emplace_back(name, path.substr(from, end - from));
      if (fits_path(uri, next, path, end, captures)) return true;
      captures->resize(count);
    }
    return false;
  }

  static bool has_conditions(const RouteSpec& spec, const Request& request) {
    bool has_method = spec.methods == 0 && spec.other_methods.empty();
    has_method |= (spec.methods >> static_cast<unsigned>(request.method) & 1) != 0;
    for (const std::string& other : spec.other_methods) has_method |= other == request.method_text;
    if (!has_method) return false;
    if (!spec.remote_addrs.is_empty() && !(request.remote && spec.remote_addrs.contains(*request.remote)))
      return false;
    if (spec.vars && !spec.vars->evaluate(*request.variables)) return false;
    return !spec.has_filter || (request.filter && request.filter->accept(spec, spec.target));
  }

  Router::Mode mode_;
  std::vector<std::shared_ptr<const RouteSpec>> specs_;
};

}  // namespace moongate::router
