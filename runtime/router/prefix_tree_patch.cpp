// SPDX-License-Identifier: Apache-2.0
// Changes a copy of a frozen radix tree in place. See prefix_tree.h for what its words mean.
#include "router/prefix_tree_patch.h"

#include <algorithm>
#include <cstring>

namespace moongate::router {

namespace {

constexpr size_t kWordsPerUnit = 1024;  // a page
constexpr size_t kSpareWords = 4096;
constexpr size_t kNodesVisitedMax = 20000;  // some tenths of a millisecond
constexpr uint32_t kTableWords = 256;

/// With room for new texts: what is not written costs no memory.
size_t capacity_for(size_t word_count) { return word_count + word_count / 8 + kSpareWords; }

}  // namespace

void PrefixTreePatch::start(const PrefixTree& from, PrefixTree* to) {
  from_ = &from;
  to_ = to;
  to_->word_count_ = 0;
  capacity_ = capacity_for(from.word_count_);
  to_->words_ = std::make_unique_for_overwrite<uint32_t[]>(capacity_);
}

bool PrefixTreePatch::copy(size_t* budget) {
  while (to_->word_count_ < from_->word_count_) {
    if (*budget == 0) return false;
    --*budget;
    const size_t at = to_->word_count_;
    const size_t count = std::min<size_t>(kWordsPerUnit, from_->word_count_ - at);
    std::memcpy(&to_->words_[at], &from_->words_[at], count * sizeof(uint32_t));
    to_->word_count_ += static_cast<uint32_t>(count);
  }
  return true;
}

void PrefixTreePatch::make_room(size_t word_count) {
  if (to_->word_count_ + word_count <= capacity_) return;
  capacity_ = capacity_for(to_->word_count_ + word_count);
  MG_ASSERT(capacity_ < kNone);
  auto words = std::make_unique_for_overwrite<uint32_t[]>(capacity_);
  std::memcpy(words.get(), to_->words_.get(), to_->word_count_ * sizeof(uint32_t));
  to_->words_ = std::move(words);
}

const char* PrefixTreePatch::label_of(uint32_t node) const {
  return reinterpret_cast<const char*>(&to_->words_[node] + PrefixTree::kHeaderWords);
}

/// Where the table of children is, near or far.
uint32_t* PrefixTreePatch::table_of(uint32_t node) const {
  uint32_t* words = to_->words_.get();
  uint32_t* near = words + node + PrefixTree::kHeaderWords + PrefixTree::words_for(words[node + 2]);
  return (words[node + 3] & PrefixTree::kFar) != 0 ? words + *near : near;
}

/// The word with the child's place, or null.
uint32_t* PrefixTreePatch::find_link(uint32_t node, unsigned char byte) const {
  const uint32_t count = to_->words_[node + 3] & ~PrefixTree::kFar;
  uint32_t* table = table_of(node);
  if (count > PrefixTree::kNarrowMax) return table[byte] == kNone ? nullptr : table + byte;
  const auto* bytes = reinterpret_cast<const unsigned char*>(table);
  for (uint32_t i = 0; i < count; i++) {
    if (bytes[i] == byte) return table + PrefixTree::key_words(count) + i;
  }
  return nullptr;
}

/// A node without children and without a value.
uint32_t PrefixTreePatch::add_node(std::string_view label, uint32_t up) {
  const uint32_t node = to_->word_count_;
  uint32_t* words = &to_->words_[node];
  const uint32_t size = PrefixTree::kHeaderWords + PrefixTree::words_for(label.size()) + 1;
  std::fill_n(words, size, 0);
  words[0] = kNone;
  words[1] = up;
  words[2] = static_cast<uint32_t>(label.size());
  std::memcpy(words + PrefixTree::kHeaderWords, label.data(), label.size());
  to_->word_count_ += size;
  return node;
}

/// Into a table that has room for it, or else into a new one at the end.
void PrefixTreePatch::add_child(uint32_t node, unsigned char byte, uint32_t child) {
  uint32_t* words = to_->words_.get();
  const uint32_t old_count = words[node + 3] & ~PrefixTree::kFar;
  const uint32_t* old_table = table_of(node);
  const uint32_t count = old_count + 1;
  if (old_count > PrefixTree::kNarrowMax) {
    table_of(node)[byte] = child;
    words[node + 3]++;
    return;
  }
  const uint32_t place = to_->word_count_;
  uint32_t* table = words + place;
  const auto* old_bytes = reinterpret_cast<const unsigned char*>(old_table);
  const uint32_t* old_children = old_table + PrefixTree::key_words(old_count);
  if (count > PrefixTree::kNarrowMax) {
    std::fill_n(table, kTableWords, kNone);
    for (uint32_t i = 0; i < old_count; i++) table[old_bytes[i]] = old_children[i];
    table[byte] = child;
  } else {
    const uint32_t keys = PrefixTree::key_words(count);
    std::fill_n(table, keys, 0);
    std::memcpy(table, old_bytes, old_count);
    reinterpret_cast<unsigned char*>(table)[old_count] = byte;
    std::copy_n(old_children, old_count, table + keys);
    table[keys + old_count] = child;
  }
  to_->word_count_ += PrefixTree::table_words(count);
  words[node + PrefixTree::kHeaderWords + PrefixTree::words_for(words[node + 2])] = place;
  words[node + 3] = count | PrefixTree::kFar;
}

/// A new node with the beginning of the label, above `node`, which keeps its place, its value and what is
/// behind the byte that now leads to it.
uint32_t PrefixTreePatch::split(uint32_t node, uint32_t label_size) {
  const std::string_view label(label_of(node), to_->words_[node + 2]);
  const uint32_t upper = add_node(label.substr(0, label_size), to_->words_[node + 1]);
  const auto byte = static_cast<unsigned char>(label[label_size]);
  const std::string_view rest = label.substr(label_size + 1);
  uint32_t* words = &to_->words_[node];
  uint32_t* near = words + PrefixTree::kHeaderWords + PrefixTree::words_for(label.size());
  const bool is_far = (words[3] & PrefixTree::kFar) != 0;
  const uint32_t near_size = is_far ? 1 : PrefixTree::table_words(words[3]);
  std::memmove(words + PrefixTree::kHeaderWords, rest.data(), rest.size());
  words[2] = static_cast<uint32_t>(rest.size());
  std::memmove(words + PrefixTree::kHeaderWords + PrefixTree::words_for(rest.size()), near,
               near_size * sizeof(uint32_t));
  add_child(upper, byte, node);
  return upper;
}

/// The node gets a value: it becomes the `up` of those below that had the one above it.
uint32_t PrefixTreePatch::make_valued(uint32_t node) {
  uint32_t* words = to_->words_.get();
  const uint32_t old_up = words[node + 1];
  std::vector<uint32_t> open{node};
  size_t visited = 0;
  while (!open.empty() && !is_spoilt_) {
    const uint32_t at = open.back();
    open.pop_back();
    const uint32_t count = words[at + 3] & ~PrefixTree::kFar;
    const bool is_narrow = count <= PrefixTree::kNarrowMax;
    const uint32_t* children = table_of(at) + (is_narrow ? PrefixTree::key_words(count) : 0);
    for (uint32_t i = 0; i < (is_narrow ? count : kTableWords); i++) {
      const uint32_t child = children[i];
      if (child == kNone) continue;
      MG_ASSERT(words[child + 1] == old_up);
      words[child + 1] = node;
      if (words[child] == kNone) open.push_back(child);
    }
    is_spoilt_ = ++visited > kNodesVisitedMax;
  }
  return node;
}

uint32_t& PrefixTreePatch::value(uint32_t* root, std::string_view text) {
  // At most a node above, a node, and a table.
  make_room(PrefixTree::words_for(text.size()) * 2 + 3 * PrefixTree::kHeaderWords + kTableWords + 16);
  uint32_t* words = to_->words_.get();
  if (*root == kNone) return words[*root = add_node(text, kNone)];
  uint32_t* link = root;
  size_t at = 0;
  for (;;) {
    uint32_t node = *link;
    const std::string_view label(label_of(node), words[node + 2]);
    const std::string_view rest = text.substr(at);
    const size_t size_max = std::min(label.size(), rest.size());
    const auto common = static_cast<size_t>(
        std::mismatch(label.begin(), label.begin() + static_cast<std::ptrdiff_t>(size_max), rest.begin())
            .first -
        label.begin());
    if (common < label.size()) node = *link = split(node, static_cast<uint32_t>(common));
    at += common;
    if (at == text.size()) return words[words[node] == kNone ? make_valued(node) : node];
    const auto byte = static_cast<unsigned char>(text[at++]);
    link = find_link(node, byte);
    if (link != nullptr) continue;
    const uint32_t up = words[node] == kNone ? words[node + 1] : node;
    const uint32_t child = add_node(text.substr(at), up);
    add_child(node, byte, child);
    return words[child];
  }
}

uint32_t* PrefixTreePatch::find(uint32_t root, std::string_view text) {
  const uint32_t node = to_->find(root, text);
  if (node == kNone) return nullptr;
  // The deepest prefix that is there is the text itself, or the text is not there.
  size_t depth = 0;
  uint32_t at = root;
  for (;;) {
    depth += to_->words_[at + 2];
    if (at == node) break;
    at = *find_link(at, static_cast<unsigned char>(text[depth++]));
  }
  return depth == text.size() ? &to_->words_[node] : nullptr;
}

}  // namespace moongate::router
