// SPDX-License-Identifier: Apache-2.0
// Makes a Router from another one that differs in a few routes: its tables are copied as they are, some
// megabytes for 100,000 routes, and only the lists of candidates that a changed route is in are written anew.
// A search does not see the difference. What is replaced stays where it is as waste; when there is much of
// it, or when something would have to grow, the router is built anew instead.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "router/prefix_tree_patch.h"
#include "router/router_maker.h"

namespace moongate::router {

/// Use: remove() and add() what changes, call step() until it is true, finish().
///
/// Units:   a budget counts steps of about a microsecond, as a builder's does.
/// Owner:   the base must outlive the patch, not the router that comes of it.
/// Runs in: a worker's loop, between events.
class Router::Patch : Router::Maker {
 public:
  /// Whether `count` more changes are still worth a patch.
  static bool can_take(const Router& base, size_t count);

  explicit Patch(const Router& base);
  ~Patch() override;

  /// The route that has this target goes; `spec` is the one it was added with. Before any add().
  void remove(std::shared_ptr<const RouteSpec> spec, uint32_t target);
  /// As Builder::add. A route that takes the place of another may have its target.
  base::Result<void> add(std::shared_ptr<const RouteSpec> spec, uint32_t target, uint32_t order);

  /// Does at most about `budget` units; true when there is nothing left to do.
  bool step(size_t budget);
  /// The router, or null when it has to be built anew. The patch is spent.
  std::unique_ptr<const Router> finish();

 private:
  struct Change {
    std::shared_ptr<const RouteSpec> spec;
    uint32_t target;
    uint32_t order;
    bool is_removal;
  };
  /// The candidates of one path or prefix, and where the index has its first.
  struct List {
    uint32_t space = 0;
    uint32_t first = kNone;
    uint32_t count = 0;
    uint32_t slot = kNone;     // of exact_paths_
    uint32_t* word = nullptr;  // of paths_
  };

  bool copy_some(size_t* budget);
  template <class Item>
  static bool copy_list(const std::vector<Item>& from, std::vector<Item>* to, size_t* budget);
  bool copy_candidates(size_t* budget);
  bool change_some(size_t* budget);
  void begin_change(const Change& change);
  void change_list(const Change& change, uint32_t space, size_t* budget);
  List find_list(uint32_t space, bool is_to_be_made);
  void set_first(const List& list, uint32_t first);
  void remove_from(List* list, const Change& change);
  void insert_into(List* list, const Candidate& candidate);
  void make_room(size_t count);
  static bool is_before(const Candidate& a, const Candidate& b);
  uint32_t& suffix_value(std::string_view suffix) override;

  const Router& base_;
  std::vector<Change> changes_;
  bool is_copied_ = false;
  bool is_spoilt_ = false;
  size_t copied_slots_[2] = {0, 0};
  size_t capacity_ = 0;  // of candidates_

  size_t at_ = 0;  // change, uri and space at hand
  size_t at_uri_ = 0;
  size_t at_space_ = 0;
  Pattern pattern_{};
  uint32_t hosts_first_ = 0;
  std::vector<uint32_t> spaces_;
  PrefixTreePatch path_tree_;
  PrefixTreePatch suffix_tree_;
};

}  // namespace moongate::router
