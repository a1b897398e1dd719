// SPDX-License-Identifier: Apache-2.0
// Adds texts to a copy of a frozen PrefixTree, so that a router with one more prefix need not be built anew.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "router/prefix_tree.h"

namespace moongate::router {

/// Use: start(), copy() until it is true, then value() for each text.
///
/// Fails:   a text whose node would come to stand above very many others makes the patch spoilt; the copy is
/// of no use then, and the tree has to be built anew.
class PrefixTreePatch {
 public:
  /// `to` becomes a copy of `from`.
  void start(const PrefixTree& from, PrefixTree* to);
  /// Copies at most `*budget` pages of memory, which it counts down; true when that is done.
  bool copy(size_t* budget);
  /// The value of `text` below `*root`, kNone when it is new; it must be given one then. Good until the next
  /// call. `*root` is kNone for a tree without texts, and may change.
  uint32_t& value(uint32_t* root, std::string_view text);
  /// The value of `text`, or null when it is not there.
  uint32_t* find(uint32_t root, std::string_view text);
  bool is_spoilt() const { return is_spoilt_; }

 private:
  void make_room(size_t word_count);
  const char* label_of(uint32_t node) const;
  uint32_t* table_of(uint32_t node) const;
  uint32_t* find_link(uint32_t node, unsigned char byte) const;
  uint32_t add_node(std::string_view label, uint32_t up);
  void add_child(uint32_t node, unsigned char byte, uint32_t child);
  uint32_t split(uint32_t node, uint32_t label_size);
  uint32_t make_valued(uint32_t node);

  const PrefixTree* from_ = nullptr;
  PrefixTree* to_ = nullptr;
  size_t capacity_ = 0;
  bool is_spoilt_ = false;
};

}  // namespace moongate::router
