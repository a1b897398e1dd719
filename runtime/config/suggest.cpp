// SPDX-License-Identifier: Apache-2.0
#include "config/suggest.h"

#include <algorithm>
#include <vector>

namespace moongate::config {

namespace {

constexpr size_t kWordMax = 64;  // longer words are not typing errors, and the distance is quadratic
constexpr size_t kShownWordMax = 100;

size_t distance_max(std::string_view word) {
  if (word.size() <= 2) return 1;  // otherwise every pair of two-letter words would be near
  return std::max<size_t>(2, word.size() / 3);
}

}  // namespace

size_t edit_distance(std::string_view from, std::string_view to) {
  // Three rows of the table suffice: a swap of neighbours looks back two.
  std::vector<size_t> two_back(to.size() + 1);
  std::vector<size_t> above(to.size() + 1);
  std::vector<size_t> row(to.size() + 1);
  for (size_t j = 0; j <= to.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    std::swap(two_back, above);
    std::swap(above, row);
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      const size_t replaced = above[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool is_swap = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
      if (is_swap) row[j] = std::min(row[j], two_back[j - 2] + 1);
    }
  }
  return row[to.size()];
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
  std::string_view nearest;
  if (word.empty() || word.size() > kWordMax) return nearest;
  size_t best = distance_max(word) + 1;
  for (const std::string_view candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best && distance < std::max(word.size(), candidate.size())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string describe_unknown(std::string_view noun, std::string_view word,
                             std::span<const std::string_view> known) {
  std::string text = "unknown " + std::string(noun) + " `" + std::string(word.substr(0, kShownWordMax)) + "`";
  const std::string_view nearest = nearest_word(word, known);
  if (!nearest.empty()) return text + "; did you mean `" + std::string(nearest) + "`?";
  if (known.empty()) return text + "; none is expected here";
  text += "; known are ";
  for (size_t i = 0; i < known.size(); ++i) {
    if (i > 0) text += i + 1 == known.size() ? " and " : ", ";
    text += known[i];
  }
  return text;
}

}  // namespace moongate::config
