// SPDX-License-Identifier: Apache-2.0
// "did you mean": the known word closest to one that is not known.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace moongate::config {

/// Number of letters to insert, delete, replace or swap with a neighbour to get from one word to the other.
size_t edit_distance(std::string_view from, std::string_view to);

/// The nearest of `known` at a distance of at most 2, or a third of the word's length; empty when none is
/// near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

/// "unknown key `rotues`; did you mean `routes`?", or the list of what is known when nothing is near.
std::string describe_unknown(std::string_view noun, std::string_view word,
                             std::span<const std::string_view> known);

}  // namespace moongate::config
