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

}  // namespace

bool Router::Builder::Entry::operator<(const Entry& other) const {
  if (rank != other.rank) return rank < other.rank;
  if (order != other.order) return order < other.order;
  return sequence < other.sequence;
}

Router::Builder::Builder(Mode mode) : Maker(mode) {}
Router::Builder::~Builder() = default;

base::Result<void> Router::Builder::add(std::shared_ptr<const RouteSpec> spec) {
  uint32_t target = spec->target;
  uint32_t order = spec->order;
  return add(std::move(spec), target, order);
}

base::Result<void> Router::Builder::add(std::shared_ptr<const RouteSpec> spec, uint32_t target,
                                        uint32_t order) {
  MG_ASSERT(pass_ == Pass::kAdd);
  if (auto checked = check(*spec); !checked) return checked;
  size_t host_count = std::max<size_t>(spec->hosts.size(), 1);
  entry_count_max_ += spec->uris.size() * (router_->mode_ == Mode::kHostUri ? host_count : 1);
  uri_count_ += spec->uris.size();
  host_count_max_ += spec->hosts.size();
  placements_.push_back({target, order});
  router_->specs_.push_back(std::move(spec));
  router_->route_count_++;
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
    bool is_by_host = has_spaces() && !spec.hosts.empty();
    if (at_host_ == 0) patterns_.push_back(read_uri(spec.uris[at_uri_]));
    if (at_host_ == 0 && at_uri_ == 0) read_hosts(spec);
    if (!is_by_host) {
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

uint32_t& Router::Builder::suffix_value(std::string_view suffix) {
  if (router_->suffix_root_ == kNone) router_->suffix_root_ = suffix_tree_.add_root();
  reversed_.emplace_back(suffix.rbegin(), suffix.rend());
  uint32_t& space = suffix_tree_.value(router_->suffix_root_, reversed_.back());
  if (space != kNone) reversed_.pop_back();
  return space;
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
    const Entry& entry = entries_[at_];
    const Placement& placement = placements_[entry.spec];
    router_->candidates_[place] =
        make_candidate({router_->specs_[entry.spec].get(), &patterns_[entry.pattern], placement.target,
                        placement.order, entry.host_first, entry.host_count});
    if (list.placed == list.count) router_->candidates_[place].flags |= kLast;
  }
  at_ = 0;
  router_->candidate_count_ = entries_.size();
  path_tree_.start_freeze(&router_->paths_);
  suffix_tree_.start_freeze(&router_->suffixes_);
  pass_ = Pass::kFreeze;
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
