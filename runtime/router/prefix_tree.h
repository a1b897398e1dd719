// SPDX-License-Identifier: Apache-2.0
// A compressed radix tree that finds the longest stored prefixes of a text. It is built in a simple form, one
// text at a time, and then frozen, some nodes at a time, into one array in depth-first order, where a request
// touches one or two cache lines per node. Wildcard hosts use it backwards.
//
//   words of a frozen node:
//   | value | up | label size | children | label bytes ... | child bytes (8 or 16) | child ... |   up to 16
//   | value | up | label size | children | label bytes ... | child by byte (256 words) |          more
//   | value | up | label size | 0        | label bytes ... | a free word |                        none
//   `up` is the nearest node above that has a value, so that a search climbs without a stack. The byte that
//   led to a node is not repeated in its label.
//
// A copy can be changed (PrefixTreePatch). A node never moves then, because others know it as their `up`:
// when it gets one more child its table is written anew behind everything else, `children` has kFar set, and
// the word behind the label says where the table is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "router/hash_index.h"

namespace moongate::router {

class PrefixTree {
 public:
  /// The deepest node whose text is a prefix of `text` and has a value, or kNone. With kIsReversed, `text` is
  /// read from its end and the stored texts were given reversed.
  template <bool kIsReversed = false>
  uint32_t find(uint32_t root, std::string_view text) const;
  uint32_t value(uint32_t node) const { return words_[node]; }
  /// The next shorter prefix with a value, or kNone.
  uint32_t up(uint32_t node) const { return words_[node + 1]; }

 private:
  friend class PrefixTreeBuilder;
  friend class PrefixTreePatch;
  static constexpr uint32_t kHeaderWords = 4;
  static constexpr uint32_t kNarrowMax = 16;
  static constexpr uint32_t kFar = uint32_t{1} << 31;

  static uint32_t words_for(size_t bytes) { return static_cast<uint32_t>((bytes + 3) / 4); }
  /// Words for the child bytes of a narrow node: read eight at a time, so padded to that.
  static uint32_t key_words(uint32_t count) { return count == 0 ? 0 : count <= 8 ? 2 : 4; }
  /// Of all that stands behind the label of a node whose table is not far.
  static uint32_t table_words(uint32_t count) {
    return count == 0 ? 1 : count <= kNarrowMax ? key_words(count) + count : 256;
  }
  uint32_t find_child(uint32_t node, uint32_t label_words, unsigned char byte) const;

  std::unique_ptr<uint32_t[]> words_;
  uint32_t word_count_ = 0;
};

/// Builds trees. Texts must live until everything is frozen.
class PrefixTreeBuilder {
 public:
  /// Announces how many texts will come (each may bring a root, a node and a split), so that nothing grows in
  /// mid-work.
  void reserve(size_t text_count_max) { nodes_.reserve(text_count_max * 3); }
  uint32_t add_root();
  /// The value of `text` in the tree of `root`, kNone when it is new. Good until the next call.
  uint32_t& value(uint32_t root, std::string_view text);

  /// Begins to freeze. `roots` (kept until the end) get their places in the frozen tree instead of their
  /// build numbers.
  void start_freeze(PrefixTree* tree);
  /// Freezes everything below `*root` (at most `*budget` nodes, which it counts down); true when that is
  /// done. `map_value(old)` gives the value to store.
  bool freeze(uint32_t* root, size_t* budget, const std::function<uint32_t(uint32_t)>& map_value);

 private:
  struct Node {
    const char* label;
    uint32_t label_size;
    uint32_t value;
    uint32_t child;  // first child; the others follow as its siblings, in no order
    uint32_t sibling;
  };
  struct Pending {
    uint32_t node;
    uint32_t up;
    uint32_t patch;  // the word that wants this node's place
    uint32_t known;  // bytes of its label that were compared on the way to it
  };

  uint32_t add_node(const char* label, size_t size, uint32_t value);
  uint32_t find_child(uint32_t node, char byte) const;
  void split(uint32_t node, uint32_t label_size);
  uint32_t emit(const Pending& pending, uint32_t new_value);
  void emit_children(const Node& node, uint32_t count, uint32_t up);

  std::vector<Node> nodes_;
  size_t label_bytes_ = 0;
  PrefixTree* tree_ = nullptr;
  std::vector<Pending> pending_;
  uint32_t placed_root_ = kNone;
};

}  // namespace moongate::router
