// SPDX-License-Identifier: Apache-2.0
// Builds, freezes and searches the radix tree of prefix_tree.h.
#include "router/prefix_tree.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moongate::router {

namespace {

constexpr uint64_t kLowBits = 0x0101010101010101;
constexpr uint32_t kBytesAtOnce = 8;

/// Where `byte` is among eight, or 8 or more when it is not. Looks at all of them at once, because a loop
/// would be mispredicted at every node.
uint32_t find_byte(const uint32_t* words, unsigned char byte) {
  uint64_t keys;
  std::memcpy(&keys, words, sizeof keys);
  if constexpr (std::endian::native == std::endian::big) keys = __builtin_bswap64(keys);
  uint64_t differing = keys ^ (kLowBits * byte);
  uint64_t zeros = (differing - kLowBits) & ~differing & (kLowBits << 7);
  return zeros == 0 ? kBytesAtOnce : static_cast<uint32_t>(std::countr_zero(zeros)) / 8;
}

/// Whether `text`, from place `at` on, begins with the label; from its end when reversed.
template <bool kIsReversed>
bool has_label(std::string_view text, size_t at, const char* label, uint32_t size) {
  if (text.size() - at < size) return false;
  if constexpr (!kIsReversed) return std::memcmp(text.data() + at, label, size) == 0;
  const char* end = text.data() + text.size() - at;
  for (uint32_t i = 0; i < size; i++) {
    if (*--end != label[i]) return false;
  }
  return true;
}

}  // namespace

uint32_t PrefixTree::find_child(uint32_t node, uint32_t label_words, unsigned char byte) const {
  uint32_t count = words_[node + 3];
  const uint32_t* at = &words_[node] + kHeaderWords + label_words;
  if (count > kNarrowMax) {
    if ((count & kFar) == 0) return at[byte];
    at = &words_[*at];
    count &= ~kFar;
    if (count > kNarrowMax) return at[byte];
  }
  if (count == 0) return kNone;
  uint32_t place = find_byte(at, byte);
  if (place == kBytesAtOnce && count > kBytesAtOnce) place += find_byte(at + 2, byte);
  return place < count ? at[key_words(count) + place] : kNone;
}

template <bool kIsReversed>
uint32_t PrefixTree::find(uint32_t root, std::string_view text) const {
  uint32_t best = kNone;
  size_t at = 0;
  for (uint32_t node = root; node != kNone;) {
    uint32_t size = words_[node + 2];
    const char* label = reinterpret_cast<const char*>(&words_[node] + kHeaderWords);
    if (size > 0 && !has_label<kIsReversed>(text, at, label, size)) break;
    at += size;
    if (words_[node] != kNone) best = node;
    if (at == text.size()) break;
    char byte = kIsReversed ? text[text.size() - 1 - at] : text[at];
    at++;
    node = find_child(node, words_for(size), static_cast<unsigned char>(byte));
  }
  return best;
}

template uint32_t PrefixTree::find<false>(uint32_t, std::string_view) const;
template uint32_t PrefixTree::find<true>(uint32_t, std::string_view) const;

uint32_t PrefixTreeBuilder::add_node(const char* label, size_t size, uint32_t value) {
  nodes_.push_back({label, static_cast<uint32_t>(size), value, kNone, kNone});
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t PrefixTreeBuilder::add_root() { return add_node("", 0, kNone); }

uint32_t PrefixTreeBuilder::find_child(uint32_t node, char byte) const {
  uint32_t child = nodes_[node].child;
  while (child != kNone && nodes_[child].label[0] != byte) child = nodes_[child].sibling;
  return child;
}

/// Cuts a node's label; the rest of it, with value and children, becomes its only child.
void PrefixTreeBuilder::split(uint32_t node, uint32_t label_size) {
  uint32_t lower =
      add_node(nodes_[node].label + label_size, nodes_[node].label_size - label_size, nodes_[node].value);
  nodes_[lower].child = nodes_[node].child;
  nodes_[node].child = lower;
  nodes_[node].label_size = label_size;
  nodes_[node].value = kNone;
}

uint32_t& PrefixTreeBuilder::value(uint32_t root, std::string_view text) {
  uint32_t node = root;
  while (!text.empty()) {
    uint32_t child = find_child(node, text[0]);
    if (child == kNone) {
      child = add_node(text.data(), text.size(), kNone);
      label_bytes_ += text.size();
      nodes_[child].sibling = nodes_[node].child;
      nodes_[node].child = child;
      return nodes_[child].value;
    }
    size_t size_max = std::min<size_t>(text.size(), nodes_[child].label_size);
    const char* label = nodes_[child].label;
    auto common = static_cast<uint32_t>(std::mismatch(label, label + size_max, text.data()).first - label);
    if (common < nodes_[child].label_size) split(child, common);
    text.remove_prefix(common);
    node = child;
  }
  return nodes_[node].value;
}

void PrefixTreeBuilder::start_freeze(PrefixTree* tree) {
  tree_ = tree;
  // Per node: header, padding of its label, bytes of its children or the free word of one without, its entry
  // in its parent, its share of a 256-word table (a node with one has at least 17 children). Memory that is
  // not used is never touched.
  constexpr size_t kNodeWordsMax = PrefixTree::kHeaderWords + 6 + 256 / (PrefixTree::kNarrowMax + 1) + 1;
  size_t words_max = nodes_.size() * kNodeWordsMax + label_bytes_ / 4 + 1;
  MG_ASSERT(words_max < kNone);
  tree_->words_ = std::make_unique_for_overwrite<uint32_t[]>(words_max);
  tree_->word_count_ = 0;
}

void PrefixTreeBuilder::emit_children(const Node& node, uint32_t count, uint32_t up) {
  uint32_t* words = tree_->words_.get();
  bool is_narrow = count <= PrefixTree::kNarrowMax;
  uint32_t begin = tree_->word_count_;
  uint32_t size = PrefixTree::table_words(count);
  std::fill_n(words + begin, size, is_narrow ? 0 : kNone);
  tree_->word_count_ += size;
  uint32_t i = 0;
  for (uint32_t child = node.child; child != kNone; child = nodes_[child].sibling, i++) {
    auto byte = static_cast<unsigned char>(nodes_[child].label[0]);
    if (is_narrow) reinterpret_cast<unsigned char*>(words + begin)[i] = byte;
    pending_.push_back({child, up, begin + (is_narrow ? PrefixTree::key_words(count) + i : byte), 1});
  }
}

uint32_t PrefixTreeBuilder::emit(const Pending& pending, uint32_t new_value) {
  const Node& node = nodes_[pending.node];
  uint32_t* words = tree_->words_.get();
  uint32_t place = tree_->word_count_;
  uint32_t count = 0;
  for (uint32_t child = node.child; child != kNone; child = nodes_[child].sibling) count++;
  words[place] = new_value;
  words[place + 1] = pending.up;
  uint32_t label_size = node.label_size - pending.known;
  words[place + 2] = label_size;
  words[place + 3] = count;
  std::memcpy(words + place + PrefixTree::kHeaderWords, node.label + pending.known, label_size);
  tree_->word_count_ += PrefixTree::kHeaderWords + PrefixTree::words_for(label_size);
  if (pending.patch != kNone) words[pending.patch] = place;
  emit_children(node, count, new_value == kNone ? pending.up : place);
  return place;
}

bool PrefixTreeBuilder::freeze(uint32_t* root, size_t* budget,
                               const std::function<uint32_t(uint32_t)>& map_value) {
  if (placed_root_ == kNone && pending_.empty()) {
    // A root that only leads to one node is left out.
    const Node& top = nodes_[*root];
    bool is_idle = top.value == kNone && top.child != kNone && nodes_[top.child].sibling == kNone;
    pending_.push_back({is_idle ? top.child : *root, kNone, kNone, 0});
  }
  while (!pending_.empty()) {
    if (*budget == 0) return false;
    --*budget;
    Pending next = pending_.back();
    pending_.pop_back();
    uint32_t value = nodes_[next.node].value;
    uint32_t place = emit(next, value == kNone ? kNone : map_value(value));
    if (placed_root_ == kNone) placed_root_ = place;
  }
  bool is_bare = tree_->value(placed_root_) == kNone && tree_->words_[placed_root_ + 3] == 0;
  *root = is_bare ? kNone : placed_root_;
  placed_root_ = kNone;
  return true;
}

}  // namespace moongate::router
