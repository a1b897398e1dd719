// SPDX-License-Identifier: Apache-2.0
#include "router/router_patch.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace moongate::router {

namespace {

constexpr size_t kUnitBytes = 4096;
constexpr size_t kSpareItems = 256;
constexpr size_t kWasteMin = 64;
constexpr size_t kWasteMax = 2048;  // what is freed at once when the router is built anew
constexpr size_t kCandidatesPerUnit = 64;

/// With room for more: what is not written costs no memory.
size_t capacity_for(size_t count) { return count + count / 8 + kSpareItems; }

}  // namespace

bool Router::Patch::can_take(const Router& base, size_t count) {
  const size_t waste_max = std::clamp(base.route_count_ / 4, kWasteMin, kWasteMax);
  return base.waste_ + count <= waste_max;
}

Router::Patch::Patch(const Router& base) : Maker(base.mode_), base_(base) {
  router_->route_count_ = base.route_count_;
  router_->waste_ = base.waste_;
  router_->specs_ = base.specs_;
  router_->texts_ = base.texts_;
  router_->suffix_root_ = base.suffix_root_;
  capacity_ = capacity_for(base.candidate_count_);
  router_->candidates_ = std::make_unique_for_overwrite<Candidate[]>(capacity_);
  path_tree_.start(base.paths_, &router_->paths_);
  suffix_tree_.start(base.suffixes_, &router_->suffixes_);
}

Router::Patch::~Patch() = default;

void Router::Patch::remove(std::shared_ptr<const RouteSpec> spec, uint32_t target) {
  MG_ASSERT(changes_.empty() || changes_.back().is_removal);
  changes_.push_back({std::move(spec), target, 0, true});
}

base::Result<void> Router::Patch::add(std::shared_ptr<const RouteSpec> spec, uint32_t target,
                                      uint32_t order) {
  if (auto checked = check(*spec); !checked) return checked;
  changes_.push_back({std::move(spec), target, order, false});
  return {};
}

bool Router::Patch::step(size_t budget) {
  if (!is_copied_) is_copied_ = copy_some(&budget);
  return is_copied_ && change_some(&budget);
}

std::unique_ptr<const Router> Router::Patch::finish() {
  while (!step(size_t{1} << 40)) {
  }
  if (is_spoilt_ || path_tree_.is_spoilt() || suffix_tree_.is_spoilt()) return nullptr;
  return std::move(router_);
}

template <class Item>
bool Router::Patch::copy_list(const std::vector<Item>& from, std::vector<Item>* to, size_t* budget) {
  constexpr size_t kItemsPerUnit = kUnitBytes / sizeof(Item);
  if (to->empty()) to->reserve(capacity_for(from.size()));
  while (to->size() < from.size()) {
    if (*budget == 0) return false;
    --*budget;
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(to->size());
    const size_t count = std::min(kItemsPerUnit, from.size() - to->size());
    to->insert(to->end(), begin, begin + static_cast<std::ptrdiff_t>(count));
  }
  return true;
}

bool Router::Patch::copy_candidates(size_t* budget) {
  constexpr size_t kItemsPerUnit = kUnitBytes / sizeof(Candidate);
  size_t& done = router_->candidate_count_;
  while (done < base_.candidate_count_) {
    if (*budget == 0) return false;
    --*budget;
    const size_t count = std::min(kItemsPerUnit, base_.candidate_count_ - done);
    std::copy_n(&base_.candidates_[done], count, &router_->candidates_[done]);
    done += count;
  }
  return true;
}

bool Router::Patch::copy_some(size_t* budget) {
  Router& to = *router_;
  return copy_candidates(budget) && copy_list(base_.elements_, &to.elements_, budget) &&
         copy_list(base_.host_patterns_, &to.host_patterns_, budget) &&
         copy_list(base_.spaces_, &to.spaces_, budget) &&
         to.exact_paths_.copy(base_.exact_paths_, &copied_slots_[0], budget) &&
         to.exact_hosts_.copy(base_.exact_hosts_, &copied_slots_[1], budget) && path_tree_.copy(budget) &&
         suffix_tree_.copy(budget);
}

/// One uri under one host after the other.
bool Router::Patch::change_some(size_t* budget) {
  while (at_ < changes_.size() && !is_spoilt_) {
    if (*budget == 0) return false;
    --*budget;
    const Change& change = changes_[at_];
    if (at_uri_ == 0 && at_space_ == 0) begin_change(change);
    if (is_spoilt_) break;
    if (at_space_ == 0) pattern_ = read_uri(change.spec->uris[at_uri_]);
    change_list(change, spaces_[at_space_], budget);
    if (++at_space_ < spaces_.size()) continue;
    at_space_ = 0;
    if (change.is_removal) router_->elements_.resize(pattern_.element_first);
    if (++at_uri_ < change.spec->uris.size()) continue;
    at_uri_ = 0;
    at_++;
  }
  return true;
}

void Router::Patch::begin_change(const Change& change) {
  if (change.is_removal) {
    router_->route_count_--;
    router_->waste_++;
  } else {
    router_->route_count_++;
    router_->specs_.push_back(change.spec);
  }
  spaces_.assign(1, 0);
  const std::vector<std::string>& hosts = change.spec->hosts;
  if (hosts.empty()) return;
  hosts_first_ = static_cast<uint32_t>(router_->host_patterns_.size());
  if (has_spaces()) spaces_.clear();
  for (const std::string& host : hosts) {
    if (!has_spaces()) {
      if (!change.is_removal) router_->host_patterns_.push_back(parse_host_pattern(to_lower(host)));
      continue;
    }
    is_spoilt_ = is_spoilt_ || !router_->exact_hosts_.has_room();
    if (is_spoilt_) return;
    spaces_.push_back(find_space(parse_host_pattern(to_lower(host))));
  }
}

void Router::Patch::change_list(const Change& change, uint32_t space, size_t* budget) {
  List list = find_list(space, !change.is_removal);
  *budget -= std::min<size_t>(*budget, list.count / kCandidatesPerUnit);
  if (change.is_removal) {
    if (list.count > 0) remove_from(&list, change);
    return;
  }
  const uint32_t host_first = has_spaces() ? space : hosts_first_;
  const size_t host_count = has_spaces() ? (change.spec->hosts.empty() ? 0 : 1) : change.spec->hosts.size();
  insert_into(&list, make_candidate({change.spec.get(), &pattern_, change.target, change.order, host_first,
                                     static_cast<uint32_t>(host_count)}));
}

Router::Patch::List Router::Patch::find_list(uint32_t space, bool is_to_be_made) {
  List list;
  list.space = space;
  uint32_t first = kNone;
  if (pattern_.element_count == 0) {
    const auto is_same = [&](uint32_t at) {
      const Candidate& candidate = router_->candidates_[at];
      return std::string_view(candidate.pattern, candidate.pattern_size) == pattern_.text &&
             (!has_spaces() || candidate.host_first == space);
    };
    list.slot = router_->exact_paths_.find_slot(hash_in(pattern_.hash, space), is_same);
    if (list.slot != kNone) first = router_->exact_paths_.value_at(list.slot);
  } else {
    uint32_t& root = router_->spaces_[space].tree_root;
    const std::string_view literal = pattern_.text.substr(0, pattern_.literal_size);
    list.word = is_to_be_made ? &path_tree_.value(&root, literal) : path_tree_.find(root, literal);
    if (list.word != nullptr) first = *list.word;
  }
  if (first == kNone || first == kEmptyList) return list;
  list.first = first;
  for (uint32_t at = first; list.count++, (router_->candidates_[at].flags & kLast) == 0; at++) {
  }
  return list;
}

void Router::Patch::set_first(const List& list, uint32_t first) {
  if (list.word != nullptr) {
    *list.word = first;
  } else if (list.slot != kNone) {
    router_->exact_paths_.set_value_at(list.slot, first);
  } else if (router_->exact_paths_.has_room()) {
    router_->exact_paths_.find_or_add(hash_in(pattern_.hash, list.space), first,
                                      [](uint32_t) { return false; });
    router_->spaces_[list.space].has_exact = true;
  } else {
    is_spoilt_ = true;
  }
}

void Router::Patch::remove_from(List* list, const Change& change) {
  Candidate* const begin = &router_->candidates_[list->first];
  Candidate* const end = begin + list->count;
  const auto is_it = [&](const Candidate& candidate) {
    return candidate.spec == change.spec.get() && candidate.target == change.target;
  };
  Candidate* const kept_end = std::remove_if(begin, end, is_it);
  for (Candidate* dead = kept_end; dead != end; dead++) dead->flags = kDead;
  router_->waste_ += static_cast<size_t>(end - kept_end);
  if (kept_end != begin) {
    (kept_end - 1)->flags |= kLast;
  } else if (list->word != nullptr) {
    *list->word = kEmptyList;
  } else {
    router_->exact_paths_.remove(list->slot, [this](uint32_t at) {
      const Candidate& candidate = router_->candidates_[at];
      return hash_in(hash_text({candidate.pattern, candidate.pattern_size}),
                     has_spaces() ? candidate.host_first : 0);
    });
  }
}

/// In place, when what stands behind the list is free; else the list moves to the end.
void Router::Patch::insert_into(List* list, const Candidate& candidate) {
  make_room(list->count + 1);
  const uint32_t behind = list->first + list->count;
  auto& count = router_->candidate_count_;
  if (list->count > 0 && behind < count && (router_->candidates_[behind].flags & kDead) != 0) {
    router_->waste_--;
  } else if (list->count > 0 && behind == count) {
    count++;
  } else {
    const auto place = static_cast<uint32_t>(count);
    for (uint32_t i = 0; i < list->count; i++) {
      Candidate& old = router_->candidates_[list->first + i];
      router_->candidates_[place + i] = old;
      old.flags = kDead;
    }
    router_->waste_ += list->count;
    list->first = place;
    count += list->count + 1;
    set_first(*list, place);
  }
  Candidate* const begin = &router_->candidates_[list->first];
  Candidate* const end = begin + list->count;
  if (begin != end) (end - 1)->flags &= static_cast<uint16_t>(~kLast);
  Candidate* const at = std::upper_bound(begin, end, candidate, is_before);
  std::move_backward(at, end, end + 1);
  *at = candidate;
  end->flags |= kLast;
}

void Router::Patch::make_room(size_t count) {
  if (router_->candidate_count_ + count <= capacity_) return;
  capacity_ = capacity_for(router_->candidate_count_ + count);
  auto candidates = std::make_unique_for_overwrite<Candidate[]>(capacity_);
  std::copy_n(router_->candidates_.get(), router_->candidate_count_, candidates.get());
  router_->candidates_ = std::move(candidates);
}

bool Router::Patch::is_before(const Candidate& a, const Candidate& b) {
  const uint64_t rank_a = make_rank(a.spec->priority, a.pattern_size);
  const uint64_t rank_b = make_rank(b.spec->priority, b.pattern_size);
  return std::tie(rank_a, a.order, a.spec->id) < std::tie(rank_b, b.order, b.spec->id);
}

uint32_t& Router::Patch::suffix_value(std::string_view suffix) {
  const std::string reversed(suffix.rbegin(), suffix.rend());
  return suffix_tree_.value(&router_->suffix_root_, reversed);
}

}  // namespace moongate::router
