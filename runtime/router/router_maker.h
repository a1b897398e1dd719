// SPDX-License-Identifier: Apache-2.0
// How a route's uris and hosts become parts of a Router: what building one and patching one have in common.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "router/router.h"

namespace moongate::router {

class Router::Maker {
 public:
  Maker(const Maker&) = delete;
  Maker& operator=(const Maker&) = delete;

 protected:
  /// A uri, taken apart.
  struct Pattern {
    std::string_view text;
    uint32_t literal_size;
    uint32_t element_first;
    uint32_t element_count;
    uint64_t hash;
  };
  /// Where a candidate comes from and where it goes.
  struct Source {
    const RouteSpec* spec;
    const Pattern* pattern;
    uint32_t target;
    uint32_t order;
    uint32_t host_first;
    uint32_t host_count;
  };

  explicit Maker(Mode mode) : router_(new Router(mode)) {}
  virtual ~Maker() = default;

  bool has_spaces() const { return router_->mode_ == Mode::kHostUri; }
  base::Result<void> check(const RouteSpec& spec) const;
  static uint64_t make_rank(int priority, size_t pattern_size);
  Pattern read_uri(std::string_view uri);
  uint32_t find_space(const HostPattern& pattern);
  uint32_t add_space(const HostPattern& pattern);
  std::string_view to_lower(const std::string& text);
  Candidate make_candidate(const Source& source) const;
  /// The space of a suffix, kNone when it is new; it is given one then.
  virtual uint32_t& suffix_value(std::string_view suffix) = 0;

  std::unique_ptr<Router> router_;

 private:
  uint32_t find_host(const HostPattern& pattern);
};

}  // namespace moongate::router
