// SPDX-License-Identifier: Apache-2.0
// From a request to its route: host, path, method, address, variables. An immutable index over RouteSpecs,
// built in slices (router_builder.h), or made from another one that differs in a few routes (router_patch.h);
// read by every request of a worker. What a pattern means is in path_pattern.h.
//
// The order in which routes are tried is part of the configuration's contract:
//   1. kHostUri only: routes whose host is the request's, then those with the longest matching `*` suffix,
//   then shorter
//      ones, then those without a host. At the same name, one with a port comes first. Below, always within
//      one host.
//   2. Routes whose path has no wildcard and is the request's.
//   3. Routes with a wildcard, by the literal text before it: the longest first. One such text is a group.
//   4. Within the same path or group: the higher priority, then the longer pattern, then the stored order,
//      then the id.
// The first of these whose conditions all hold is taken.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/shared_list.h"
#include "http/head.h"
#include "router/hash_index.h"
#include "router/host_pattern.h"
#include "router/path_pattern.h"
#include "router/prefix_tree.h"
#include "router/route_spec.h"
#include "router/variables.h"

namespace moongate::router {

/// Runs the filter function of a route; the last condition that is asked. It must not wait.
class FilterHook {
 public:
  virtual ~FilterHook() = default;
  virtual bool accept(const RouteSpec& spec, uint32_t target) = 0;
};

/// What of a request decides on its route.
struct Request {
  std::string_view path = {};  // canonical and decoded, without query
  std::string_view host = {};  // in lower case, without port
  uint16_t port = 0;           // of the Host field; 0 when it has none
  http::Method method = http::Method::kOther;
  std::string_view method_text = {};
  const Address* remote = nullptr;      // null meets no route's remote_addrs
  VariableSource* variables = nullptr;  // null: no variable is set
  FilterHook* filter = nullptr;         // null: routes with a filter are never taken
};

/// The route found. Views point into the router, its specs and the request's path.
struct Match {
  uint32_t target = 0;
  const RouteSpec* spec = nullptr;
  std::string_view pattern;       // the one of the spec's uris that matched
  std::string_view host_pattern;  // the one of its hosts, in lower case; empty when it has none
  uint32_t capture_count = 0;
  Capture captures[kCapturesMax];

  /// The last capture of that name, as later ones hide earlier ones.
  bool find_capture(std::string_view name, std::string_view* value) const;
};

/// What became of a route that was looked at.
enum class Verdict : uint8_t { kTaken, kPath, kMethod, kRemoteAddress, kHost, kVars, kFilter };

/// One look at a route, under one of its patterns. Views point into the router.
struct Trial {
  uint32_t target = 0;
  const RouteSpec* spec = nullptr;
  std::string_view pattern;
  std::string_view host_pattern;  // kHostUri only: under which of its hosts
  Verdict verdict = Verdict::kTaken;
};

/// Shape:   a hash of exact paths and a radix tree of literal prefixes, one name space per host; candidates
///          with the same path or prefix lie side by side in the order they are tried.
/// Owner:   a snapshot; shares the specs with earlier and later routers.
/// Runs in: every worker; `match` never waits and never allocates.
class Router {
 public:
  /// APISIX's radixtree_host_uri, radixtree_uri and radixtree_uri_with_parameter.
  enum class Mode : uint8_t { kHostUri, kUri, kUriWithParameter };
  class Builder;  // router_builder.h
  class Patch;    // router_patch.h

  bool match(const Request& request, Match* out) const;
  /// The same, and why what was tried before was not taken. Behind these, in kHostUri, the routes that have
  /// the path and the method but not the host. At most `trials_max` of each.
  bool explain(const Request& request, Match* out, size_t trials_max, std::vector<Trial>* trials) const;
  /// A route, and the target that Match gives for it.
  struct Listed {
    uint32_t target;
    const RouteSpec* spec;
  };
  /// All routes in the order in which they are tried, as far as two can be tried for one request.
  std::vector<Listed> list() const;
  Mode mode() const { return mode_; }
  size_t route_count() const { return route_count_; }

 private:
  class Maker;  // router_maker.h
  /// A route under one of its patterns (and hosts): all that a look at it usually needs, in one cache line.
  struct alignas(64) Candidate {
    const RouteSpec* spec;
    const char* pattern;
    uint32_t pattern_size;
    uint32_t literal_size;
    uint32_t methods;  // all ones: any
    uint32_t target;
    uint32_t element_first;
    uint32_t host_first;  // the host space; in the uri modes the first of its HostPatterns
    uint32_t host_count;
    uint32_t order;
    uint16_t element_count;
    uint16_t flags;
  };
  enum Flag : uint16_t {
    kLast = 1,
    kOtherMethods = 2,
    kRemote = 4,
    kHosts = 8,
    kVars = 16,
    kFilter = 32,
    kRest = 64,
    kCapturedRest = 128,  // its only element is a star at the end: no need to look at elements
    kDead = 256,          // in no list
  };
  static constexpr uint16_t kConditions = kRemote | kHosts | kVars | kFilter;
  static constexpr uint32_t kEmptyList = kNone - 1;  // of a prefix whose routes are gone

  /// The paths below one host, in one cache line. Those of the same name with a port are a list behind it.
  struct alignas(64) HostSpace {
    const char* pattern = nullptr;
    uint32_t pattern_size = 0;
    uint32_t name_size = 0;  // without `*` and port
    uint32_t tree_root = kNone;
    uint32_t next_port = kNone;
    uint16_t port = 0;
    bool is_suffix = false;
    bool has_exact = false;
    char name_head[32] = {};  // the name, when it fits

    bool has_name(std::string_view host) const {
      const char* name = name_size <= sizeof name_head ? name_head : pattern + (is_suffix ? 1 : 0);
      return std::string_view(name, name_size) == host;
    }
  };

  explicit Router(Mode mode) : mode_(mode) {}
  // Walk the candidates whose host and literal are the request's, in order, until `visit` says true.
  template <class Visit>
  bool walk(const Request& request, Visit visit) const;
  template <class Visit>
  bool walk_hosts(const Request& request, uint64_t path_hash, Visit visit) const;
  template <class Visit>
  bool walk_host(uint32_t host, const Request& request, uint64_t path_hash, Visit visit) const;
  template <class Visit>
  bool walk_space(uint32_t space, const Request& request, uint64_t path_hash, Visit visit) const;
  template <class Visit>
  bool walk_candidates(uint32_t first, Visit visit) const;
  Verdict judge(const Candidate& candidate, const Request& request, Match* out) const;
  Trial make_trial(const Candidate& candidate, Verdict verdict) const;
  void add_other_hosts(const Request& request, size_t trials_max, std::vector<Trial>* trials) const;
  bool has_pattern(const Candidate& candidate, std::string_view path, Match* out) const;
  Verdict judge_conditions(const Candidate& candidate, const Request& request, Match* out) const;
  bool has_method(const Candidate& candidate, const Request& request) const;
  bool has_host(const Candidate& candidate, const Request& request, Match* out) const;

  Mode mode_;
  size_t route_count_ = 0;
  size_t waste_ = 0;  // dead candidates and routes that are gone
  // Those that are gone too, as the names of hosts may be theirs.
  base::SharedList<std::shared_ptr<const RouteSpec>> specs_;
  std::unique_ptr<Candidate[]> candidates_;
  size_t candidate_count_ = 0;
  std::vector<PatternElement> elements_;
  std::vector<HostPattern> host_patterns_;                 // uri modes
  std::vector<HostSpace> spaces_;                          // [0] has no host
  std::vector<std::shared_ptr<const std::string>> texts_;  // hosts that had to be put in lower case
  HashIndex exact_paths_;                                  // path within a space -> first candidate
  HashIndex exact_hosts_;                                  // name -> its space
  PrefixTree paths_;
  PrefixTree suffixes_;  // of wildcard hosts, reversed -> its space
  uint32_t suffix_root_ = kNone;
};

}  // namespace moongate::router
