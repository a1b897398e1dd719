// SPDX-License-Identifier: Apache-2.0
#include "router/router_maker.h"

#include <algorithm>

#include "base/ascii.h"

namespace moongate::router {

namespace {

base::Error at_route(const RouteSpec& spec, const std::string& detail) {
  return base::invalid("route '" + spec.id + "': " + detail);
}

}  // namespace

/// Whether uris and hosts can be indexed.
base::Result<void> Router::Maker::check(const RouteSpec& spec) const {
  if (spec.uris.empty()) return at_route(spec, "has no uri");
  for (const std::string& uri : spec.uris) {
    auto checked = check_pattern(uri, router_->mode_ == Mode::kUriWithParameter);
    if (!checked) return at_route(spec, checked.error().detail);
  }
  for (const std::string& host : spec.hosts) {
    if (host.empty()) return at_route(spec, "a host is empty");
  }
  return {};
}

/// Smaller means tried earlier: by priority, then by the size of the pattern, both descending.
uint64_t Router::Maker::make_rank(int priority, size_t pattern_size) {
  uint32_t ascending = static_cast<uint32_t>(priority) ^ 0x80000000U;
  return uint64_t{~ascending} << 32 | ~static_cast<uint32_t>(pattern_size);
}

Router::Maker::Pattern Router::Maker::read_uri(std::string_view uri) {
  PatternReader reader(uri, router_->mode_ == Mode::kUriWithParameter);
  Pattern pattern{uri, 0, static_cast<uint32_t>(router_->elements_.size()), 0, hash_text(uri)};
  PatternElement element;
  for (bool is_first = true; reader.next(&element); is_first = false) {
    if (is_first && element.kind == PatternElement::Kind::kLiteral) {
      pattern.literal_size = static_cast<uint32_t>(element.text.size());
    } else {
      router_->elements_.push_back(element);
      pattern.element_count++;
    }
  }
  return pattern;
}

uint32_t Router::Maker::find_space(const HostPattern& pattern) {
  uint32_t host = find_host(pattern);
  auto& spaces = router_->spaces_;
  if (pattern.port == 0) {
    // It may be there because of a port only, under a pattern with that port.
    spaces[host].pattern = pattern.text.data();
    spaces[host].pattern_size = static_cast<uint32_t>(pattern.text.size());
    return host;
  }
  for (uint32_t at = spaces[host].next_port; at != kNone; at = spaces[at].next_port) {
    if (spaces[at].port == pattern.port) return at;
  }
  uint32_t space = add_space(pattern);
  spaces[space].port = pattern.port;
  spaces[space].next_port = spaces[host].next_port;
  spaces[host].next_port = space;
  return space;
}

/// The space of a name without a port, made when it is new.
uint32_t Router::Maker::find_host(const HostPattern& pattern) {
  auto next = static_cast<uint32_t>(router_->spaces_.size());
  if (!pattern.is_suffix) {
    auto is_same = [&](uint32_t space) { return router_->spaces_[space].has_name(pattern.name); };
    uint32_t slot = router_->exact_hosts_.find_or_add(hash_text(pattern.name), next, is_same);
    uint32_t host = router_->exact_hosts_.value_at(slot);
    return host == next ? add_space(pattern) : host;
  }
  uint32_t& host = suffix_value(pattern.name);
  if (host == kNone) host = add_space(pattern);
  return host;
}

uint32_t Router::Maker::add_space(const HostPattern& pattern) {
  HostSpace& space = router_->spaces_.emplace_back();
  space.pattern = pattern.text.data();
  space.pattern_size = static_cast<uint32_t>(pattern.text.size());
  space.name_size = static_cast<uint32_t>(pattern.name.size());
  space.is_suffix = pattern.is_suffix;
  if (pattern.name.size() <= sizeof space.name_head) {
    std::copy(pattern.name.begin(), pattern.name.end(), space.name_head);
  }
  return static_cast<uint32_t>(router_->spaces_.size() - 1);
}

/// The text itself when it is in lower case, else a copy that the router keeps.
std::string_view Router::Maker::to_lower(const std::string& text) {
  if (std::none_of(text.begin(), text.end(), [](char c) { return base::to_lower(c) != c; })) return text;
  auto lower = std::make_shared<std::string>(base::lower_case(text));
  router_->texts_.push_back(lower);
  return *lower;
}

Router::Candidate Router::Maker::make_candidate(const Source& source) const {
  const RouteSpec& spec = *source.spec;
  const Pattern& pattern = *source.pattern;
  Candidate candidate{};
  bool has_any_method = spec.methods == 0 && spec.other_methods.empty();
  candidate.spec = &spec;
  candidate.pattern = pattern.text.data();
  candidate.pattern_size = static_cast<uint32_t>(pattern.text.size());
  candidate.literal_size = pattern.literal_size;
  candidate.methods = has_any_method ? UINT32_MAX : spec.methods;
  candidate.target = source.target;
  candidate.order = source.order;
  candidate.element_first = pattern.element_first;
  candidate.element_count = static_cast<uint16_t>(pattern.element_count);
  candidate.host_first = source.host_first;
  candidate.host_count = source.host_count;
  bool is_rest = pattern.element_count == 1 &&
                 router_->elements_[pattern.element_first].kind == PatternElement::Kind::kStar;
  bool is_captured = is_rest && router_->elements_[pattern.element_first].is_captured;
  bool has_hosts = !has_spaces() && !spec.hosts.empty();
  candidate.flags = static_cast<uint16_t>(
      (spec.other_methods.empty() ? 0 : kOtherMethods) | (spec.remote_addrs.is_empty() ? 0 : kRemote) |
      (has_hosts ? kHosts : 0) | (spec.vars ? kVars : 0) | (spec.has_filter ? kFilter : 0) |
      (is_rest ? kRest : 0) | (is_captured ? kCapturedRest : 0));
  return candidate;
}

}  // namespace moongate::router
