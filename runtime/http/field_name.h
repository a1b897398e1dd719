// SPDX-License-Identifier: Apache-2.0
// Names of fields as two numbers: the id of a name the runtime knows, and a key that equal names share in
// whatever case they are written. Both come from one look at the first and the last eight bytes, so that
// parsing, finding and removing fields compare numbers and hardly ever text. Only http/ includes this.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "http/fields.h"

namespace moongate::http {

/// The first and the last eight bytes of a name. One below eight bytes is in `first` whole, with spaces where
/// nothing is; `last` is spaces then.
struct NameWords {
  uint64_t first;
  uint64_t last;
};

constexpr uint64_t kSpaces = 0x2020202020202020U;

/// The words of a name that is not empty.
inline NameWords name_words(std::string_view name) {
  const char* const at = name.data();
  const size_t size = name.size();
  if (size >= 8) {
    NameWords words;
    std::memcpy(&words.first, at, 8);
    std::memcpy(&words.last, at + size - 8, 8);
    return words;
  }
  if (size >= 4) {
    uint32_t first;
    uint32_t last;
    std::memcpy(&first, at, 4);
    std::memcpy(&last, at + size - 4, 4);
    return {uint64_t{last} << 32 | first, kSpaces};
  }
  const auto byte = [at](size_t index) { return uint64_t{static_cast<uint8_t>(at[index])}; };
  return {kSpaces << 24 | byte(size - 1) << 16 | byte(size / 2) << 8 | byte(0), kSpaces};
}

/// Lower-cases letters and leaves '-' alone. Of all other bytes only CR becomes one of these, a '-': see
/// has_control(). Names of up to 16 bytes are equal but for that when sizes and folded words are.
constexpr NameWords fold(NameWords words) { return {words.first | kSpaces, words.last | kSpaces}; }

/// Whether some byte has neither of the bits that make a letter or a dash.
constexpr bool has_control(NameWords words) {
  constexpr uint64_t kBits = kSpaces << 1;
  return (((words.first | words.first << 1) & (words.last | words.last << 1)) & kBits) != kBits;
}

constexpr uint64_t kLastFactor = 0x9FB21C651E98DF25U;

constexpr uint32_t mix_name(NameWords words, size_t size, uint64_t factor) {
  return static_cast<uint32_t>((((words.first + size) ^ (words.last * kLastFactor)) * factor) >> 32);
}

struct KnownName {
  NameWords words{0, 0};
  uint32_t size = 0;
  FieldId id = FieldId::kOther;
};

/// The known names, at the places their keys' highest eight bits say.
struct KnownNames {
  uint64_t factor;
  std::array<KnownName, 256> slots;
};
extern const KnownNames kKnownNames;

std::string_view known_name(FieldId id);

/// Fills a field's id and key from its name. Always in place: the parser does it for every line.
[[gnu::always_inline]] inline void set_name_key(Field* field) {
  const NameWords raw = name_words(field->name);
  const NameWords words = fold(raw);
  const size_t size = field->name.size();
  field->key = mix_name(words, size, kKnownNames.factor);
  const KnownName& known = kKnownNames.slots[field->key >> 24];
  const bool is_known = known.words.first == words.first && known.words.last == words.last &&
                        known.size == size && !has_control(raw) &&
                        (size <= 16 || equals_ignoring_case(field->name, known_name(known.id)));
  field->id = is_known ? known.id : FieldId::kOther;
}

/// In place for the same reason.
[[gnu::always_inline]] inline const Field& FieldList::add_received(std::string_view name,
                                                                   std::string_view value,
                                                                   bool is_whole_line) {
  if (count_ == capacity_) grow();
  Field& field = fields_[count_];
  field.name = name;
  field.value = value;
  field.is_whole_line = is_whole_line;
  set_name_key(&field);
  keys_[count_++] = field.key;
  return field;
}

}  // namespace moongate::http
