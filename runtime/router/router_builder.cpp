// SPDX-License-Identifier: Apache-2.0
// Builds a Router in slices; the passes are listed in router_builder.h.
#include "router/router_builder.h"

#include <algorithm>

namespace moongate::router {

namespace {

// Merging moves an item in a fraction of the time that other units of work take.
constexpr size_t kSortMovesPerUnit = 8;
// What finish() does at once when it has to.
constexpr size_t kBudgetAll = size_t{1} << 40;

base::Error at_route(const RouteSpec& spec, const std::string& detail) {
  return base::invalid("route '" + spec.id + "': " + detail);
}

/// Smaller means tried earlier: by priority, then by the size of the pattern, both descending.
uint64_t make_rank(int priority, size_t pattern_size) {
  uint32_t ascending = static_cast<uint32_t>(priority) ^ 0x80000000U;
  return uint64_t{~ascending} << 32 | ~static_cast<uint32_t>(pattern_size);
}

}  // namespace

bool Router::Builder::Entry::operator<(const Entry& other) const {
  if (rank != other.rank) return rank < other.rank;
  if (order != other.order) return order < other.order;
  return sequence < other.sequence;
}

Router::Builder::Builder(Mode mode) : router_(new Router(mode)) {}
Router::Builder::~Builder() = default;

base::Result<void> Router::Builder::add(std::shared_ptr<const RouteSpec> spec) {
  uint32_t target = spec->target;
  uint32_t order = spec->order;
  return add(std::move(spec), target, order);
}

base::Result<void> Router::Builder::add(std::shared_ptr<const RouteSpec> spec, uint32_t target,
                                        uint32_t order) {
  MG_ASSERT(pass_ == Pass::kAdd);
  if (spec->uris.empty()) return at_route(*spec, "has no uri");
  for (const std::string& uri : spec->uris) {
    auto checked = check_pattern(uri, router_->mode_ == Mode::kUriWithParameter);
    if (!checked) return at_route(*spec, checked.error().detail);
  }
  for (const std::string& host : spec->hosts) {
    if (host.empty()) return at_route(*spec, "a host is empty");
  }
  size_t host_count = std::max<size_t>(spec->hosts.size(), 1);
  entry_count_max_ += spec->uris.size() * (router_->mode_ == Mode::kHostUri ? host_count : 1);
  uri_count_ += spec->uris.size();
  host_count_max_ += spec->hosts.size();
  placements_.push_back({target, order});
  router_->specs_.push_back(std::move(spec));
  return {};
}

bool Router::Builder::step(size_t budget) {
  if (pass_ == Pass::kAdd) start();
  while (budget > 0 && pass_ != Pass::kDone) run_slice(&budget);
  return pass_ == Pass::kDone;
}

std::unique_ptr<const Router> Router::Builder::finish() {
  MG_ASSERT(router_ != nullptr);
  while (!step(kBudgetAll)) {
  }
  return std::move(router_);
}

/// Allocates everything at its final size. Pages that have not been written cost nothing yet.
void Router::Builder::start() {
  MG_ASSERT(entry_count_max_ < kNone / 4);
  patterns_.reserve(uri_count_);
  entries_.reserve(entry_count_max_);
  lists_.reserve(entry_count_max_);
  path_tree_.reserve(entry_count_max_);
  suffix_tree_.reserve(host_count_max_ + 1);
  router_->candidates_ = std::make_unique_for_overwrite<Candidate[]>(entry_count_max_);
  router_->elements_.reserve(uri_count_);
  router_->exact_paths_.allocate(entry_count_max_);
  if (router_->mode_ == Mode::kHostUri) {
    // A host with a port makes two.
    router_->spaces_.reserve(host_count_max_ * 2 + 1);
    router_->exact_hosts_.allocate(host_count_max_);
  } else {
    router_->host_patterns_.reserve(host_count_max_);
  }
  add_space(HostPattern());
  pass_ = Pass::kExpand;
}

void Router::Builder::run_slice(size_t* budget) {
  switch (pass_) {
    case Pass::kExpand:
      return expand(budget);
    case Pass::kSort: {
      size_t moves = *budget * kSortMovesPerUnit;
      if (sorter_.step(&moves)) pass_ = Pass::kOffsets;
      *budget = moves / kSortMovesPerUnit;
      return;
    }
    case Pass::kOffsets:
      return set_offsets(budget);
    case Pass::kPlace:
      return place(budget);
    case Pass::kFreeze:
      return freeze(budget);
    case Pass::kAdd:
    case Pass::kDone:
      return;
  }
}

void Router::Builder::expand(size_t* budget) {
  for (; at_ < router_->specs_.size(); --*budget) {
    if (*budget == 0) return;
    const RouteSpec& spec = *router_->specs_[at_];
    bool has_spaces = router_->mode_ == Mode::kHostUri && !spec.hosts.empty();
    if (at_host_ == 0) read_uri(spec.uris[at_uri_]);
    if (at_host_ == 0 && at_uri_ == 0) read_hosts(spec);
    if (!has_spaces) {
      add_entry(hosts_first_,
                router_->mode_ == Mode::kHostUri ? 0 : static_cast<uint32_t>(spec.hosts.size()));
    } else {
      // The first uri finds the spaces of the hosts, the others go there again.
      if (at_uri_ == 0) spaces_of_.push_back(find_space(parse_host_pattern(to_lower(spec.hosts[at_host_]))));
      add_entry(spaces_of_[at_host_], 1);
      if (++at_host_ < spec.hosts.size()) continue;
      at_host_ = 0;
    }
    if (++at_uri_ < spec.uris.size()) continue;
    at_uri_ = 0;
    at_++;
  }
  at_ = 0;
  sorter_.start(&entries_);
  pass_ = Pass::kSort;
}

void Router::Builder::read_uri(std::string_view uri) {
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
  patterns_.push_back(pattern);
}

void Router::Builder::read_hosts(const RouteSpec& spec) {
  spaces_of_.clear();
  if (router_->mode_ == Mode::kHostUri) return;
  hosts_first_ = static_cast<uint32_t>(router_->host_patterns_.size());
  for (const std::string& host : spec.hosts) {
    router_->host_patterns_.push_back(parse_host_pattern(to_lower(host)));
  }
}

void Router::Builder::add_entry(uint32_t host_first, uint32_t host_count) {
  const RouteSpec& spec = *router_->specs_[at_];
  uint32_t list = find_list(router_->mode_ == Mode::kHostUri ? host_first : 0);
  lists_[list].count++;
  Entry entry;
  entry.rank = make_rank(spec.priority, patterns_.back().text.size());
  entry.order = placements_[at_].order;
  entry.sequence = static_cast<uint32_t>(entries_.size());
  entry.list = list;
  entry.pattern = static_cast<uint32_t>(patterns_.size() - 1);
  entry.spec = static_cast<uint32_t>(at_);
  entry.host_first = host_first;
  entry.host_count = host_count;
  entries_.push_back(entry);
}

uint32_t Router::Builder::find_list(uint32_t space) {
  const Pattern& pattern = patterns_.back();
  if (pattern.element_count == 0) return find_exact_list(space);
  uint32_t& root = router_->spaces_[space].tree_root;
  if (root == kNone) root = path_tree_.add_root();
  uint32_t& list = path_tree_.value(root, pattern.text.substr(0, pattern.literal_size));
  if (list == kNone) {
    list = static_cast<uint32_t>(lists_.size());
    lists_.push_back({pattern.text, space, kNone, 0, 0, 0});
  }
  return list;
}

uint32_t Router::Builder::find_exact_list(uint32_t space) {
  const Pattern& pattern = patterns_.back();
  auto is_same = [&](uint32_t list) {
    return lists_[list].text == pattern.text && lists_[list].space == space;
  };
  HashIndex& index = router_->exact_paths_;
  auto next = static_cast<uint32_t>(lists_.size());
  uint32_t slot = index.find_or_add(hash_in(pattern.hash, space), next, is_same);
  uint32_t list = index.value_at(slot);
  if (list == next) {
    lists_.push_back({pattern.text, space, slot, 0, 0, 0});
    router_->spaces_[space].has_exact = true;
  }
  return list;
}

uint32_t Router::Builder::find_space(const HostPattern& pattern) {
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
uint32_t Router::Builder::find_host(const HostPattern& pattern) {
  auto next = static_cast<uint32_t>(router_->spaces_.size());
  if (!pattern.is_suffix) {
    auto is_same = [&](uint32_t space) { return router_->spaces_[space].has_name(pattern.name); };
    uint32_t slot = router_->exact_hosts_.find_or_add(hash_text(pattern.name), next, is_same);
    uint32_t host = router_->exact_hosts_.value_at(slot);
    return host == next ? add_space(pattern) : host;
  }
  if (router_->suffix_root_ == kNone) router_->suffix_root_ = suffix_tree_.add_root();
  reversed_.emplace_back(pattern.name.rbegin(), pattern.name.rend());
  uint32_t& host = suffix_tree_.value(router_->suffix_root_, reversed_.back());
  if (host == kNone) {
    host = add_space(pattern);
  } else {
    reversed_.pop_back();
  }
  return host;
}

uint32_t Router::Builder::add_space(const HostPattern& pattern) {
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
std::string_view Router::Builder::to_lower(const std::string& text) {
  auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (std::none_of(text.begin(), text.end(), is_upper)) return text;
  std::string& lower = router_->texts_.emplace_back(text);
  for (char& c : lower) c = is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c;
  return lower;
}

void Router::Builder::set_offsets(size_t* budget) {
  for (; at_ < lists_.size(); at_++, --*budget) {
    if (*budget == 0) return;
    List& list = lists_[at_];
    list.first = offset_;
    offset_ += list.count;
    if (list.slot != kNone) router_->exact_paths_.set_value_at(list.slot, list.first);
  }
  at_ = 0;
  pass_ = Pass::kPlace;
}

void Router::Builder::place(size_t* budget) {
  for (; at_ < entries_.size(); at_++, --*budget) {
    if (*budget == 0) return;
    List& list = lists_[entries_[at_].list];
    uint32_t place = list.first + list.placed++;
    fill_candidate(&router_->candidates_[place], entries_[at_], list.placed == list.count);
  }
  at_ = 0;
  router_->candidate_count_ = entries_.size();
  path_tree_.start_freeze(&router_->paths_);
  suffix_tree_.start_freeze(&router_->suffixes_);
  pass_ = Pass::kFreeze;
}

void Router::Builder::fill_candidate(Candidate* candidate, const Entry& entry, bool is_last) const {
  const RouteSpec& spec = *router_->specs_[entry.spec];
  const Pattern& pattern = patterns_[entry.pattern];
  bool has_any_method = spec.methods == 0 && spec.other_methods.empty();
  candidate->spec = &spec;
  candidate->pattern = pattern.text.data();
  candidate->pattern_size = static_cast<uint32_t>(pattern.text.size());
  candidate->literal_size = pattern.literal_size;
  candidate->methods = has_any_method ? UINT32_MAX : spec.methods;
  candidate->target = placements_[entry.spec].target;
  candidate->element_first = pattern.element_first;
  candidate->element_count = static_cast<uint16_t>(pattern.element_count);
  candidate->host_first = entry.host_first;
  candidate->host_count = entry.host_count;
  bool is_rest = pattern.element_count == 1 &&
                 router_->elements_[pattern.element_first].kind == PatternElement::Kind::kStar;
  bool is_captured = is_rest && router_->elements_[pattern.element_first].is_captured;
  bool has_hosts = router_->mode_ != Mode::kHostUri && !spec.hosts.empty();
  candidate->flags = static_cast<uint16_t>(
      (is_last ? kLast : 0) | (spec.other_methods.empty() ? 0 : kOtherMethods) |
      (spec.remote_addrs.is_empty() ? 0 : kRemote) | (has_hosts ? kHosts : 0) | (spec.vars ? kVars : 0) |
      (spec.has_filter ? kFilter : 0) | (is_rest ? kRest : 0) | (is_captured ? kCapturedRest : 0));
}

void Router::Builder::freeze(size_t* budget) {
  auto same = [](uint32_t entry) { return entry; };
  auto first_of = [this](uint32_t list) { return lists_[list].first; };
  if (at_ == 0) {
    uint32_t& root = router_->suffix_root_;
    if (root != kNone && !suffix_tree_.freeze(&root, budget, same)) return;
    at_ = 1;
  }
  for (; at_ <= router_->spaces_.size(); at_++) {
    uint32_t& root = router_->spaces_[at_ - 1].tree_root;
    if (root != kNone && !path_tree_.freeze(&root, budget, first_of)) return;
  }
  pass_ = Pass::kDone;
}

}  // namespace moongate::router
