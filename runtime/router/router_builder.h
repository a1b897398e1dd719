// SPDX-License-Identifier: Apache-2.0
// Builds a Router a slice at a time, so that a worker can prepare 10,000 routes between requests. The passes:
//
//   kExpand    each route, for each of its uris and hosts, becomes an entry in the list of its path or prefix
//   kSort      entries are put in the order in which they are tried, all lists at once
//   kOffsets   each list gets its place among the candidates
//   kPlace     entries become candidates; taken in sorted order, every list comes out sorted
//   kFreeze    the radix trees are put into their final form
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "router/router_maker.h"
#include "router/slice_sorter.h"

namespace moongate::router {

/// Use: add() every route, call step() until it is true, finish().
///
/// Order:   routes of one stored order are to be added in the order of their ids.
/// Units:   a budget counts steps of work that take about a microsecond or less; 200 stay well below half a
/// millisecond. Runs in: a worker's loop, between events; nothing is shared until finish().
class Router::Builder : Router::Maker {
 public:
  explicit Builder(Mode mode);
  ~Builder() override;

  /// Takes a route, or says what is wrong with its uris or hosts and leaves it out. Not after the first
  /// step().
  base::Result<void> add(std::shared_ptr<const RouteSpec> spec);
  /// The same with a target and order that replace the spec's, so that a spec can be shared when only these
  /// changed.
  base::Result<void> add(std::shared_ptr<const RouteSpec> spec, uint32_t target, uint32_t order);
  base::Result<void> add(RouteSpec spec) { return add(std::make_shared<const RouteSpec>(std::move(spec))); }

  /// Does at most about `budget` units; true when the router is complete.
  bool step(size_t budget);
  /// The router, after doing all that is left. The builder is spent.
  std::unique_ptr<const Router> finish();

 private:
  enum class Pass : uint8_t { kAdd, kExpand, kSort, kOffsets, kPlace, kFreeze, kDone };

  struct Placement {
    uint32_t target;
    uint32_t order;
  };
  /// One candidate to be.
  struct Entry {
    uint64_t rank;  // priority and size of the pattern, so that the one to try first is the smallest
    uint32_t order;
    uint32_t sequence;
    uint32_t list;
    uint32_t pattern;
    uint32_t spec;
    uint32_t host_first;
    uint32_t host_count;
    bool operator<(const Entry& other) const;
  };
  /// The candidates of one path or prefix.
  struct List {
    std::string_view text;
    uint32_t space;
    uint32_t slot;  // in exact_paths_, or kNone
    uint32_t count;
    uint32_t first;
    uint32_t placed;
  };

  void start();
  void run_slice(size_t* budget);
  void expand(size_t* budget);
  void read_hosts(const RouteSpec& spec);
  void add_entry(uint32_t host_first, uint32_t host_count);
  uint32_t find_list(uint32_t space);
  uint32_t find_exact_list(uint32_t space);
  uint32_t& suffix_value(std::string_view suffix) override;
  void set_offsets(size_t* budget);
  void place(size_t* budget);
  void freeze(size_t* budget);

  std::vector<Placement> placements_;
  size_t entry_count_max_ = 0;
  size_t uri_count_ = 0;
  size_t host_count_max_ = 0;
  Pass pass_ = Pass::kAdd;

  // Where the running pass stands.
  size_t at_ = 0;
  size_t at_uri_ = 0;
  size_t at_host_ = 0;
  uint32_t offset_ = 0;
  uint32_t hosts_first_ = 0;         // of the route at hand, uri modes
  std::vector<uint32_t> spaces_of_;  // of the route at hand, host mode

  std::vector<Pattern> patterns_;
  std::vector<Entry> entries_;
  std::vector<List> lists_;
  std::deque<std::string> reversed_;
  PrefixTreeBuilder path_tree_;
  PrefixTreeBuilder suffix_tree_;
  SliceSorter<Entry> sorter_;
};

}  // namespace moongate::router
