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

/// Lower-cases letters and leaves '-' alone; what else it makes of other bytes is good for a key only.
constexpr NameWords fold(NameWords words) { return {words.first | kSpaces, words.last | kSpaces}; }

constexpr uint64_t kLastFactor = 0x9FB21C651E98DF25U;

constexpr uint32_t mix_name(NameWords words, size_t size, uint64_t factor) {
  return static_cast<uint32_t>((((words.first + size) ^ (words.last * kLastFactor)) * factor) >> 32);
}

struct KnownName {
  NameWords words{0, 0};  // in lower case
  NameWords cases{0, 0};  // the bits that tell the cases of its letters apart
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

struct NameKey {
  FieldId id;
  uint32_t key;
};

/// The id and the key of a name that is not empty, whatever its bytes: those of a name with an id are tokens.
/// Always in place: the parser does it for every line.
[[gnu::always_inline]] inline NameKey find_name_key(std::string_view name) {
  const NameWords raw = name_words(name);
  const size_t size = name.size();
  const uint32_t key = mix_name(fold(raw), size, kKnownNames.factor);
  const KnownName& known = kKnownNames.slots[key >> 24];
  const bool is_known = (raw.first | known.cases.first) == known.words.first &&
                        (raw.last | known.cases.last) == known.words.last && known.size == size &&
                        (size <= 16 || equals_ignoring_case(name, known_name(known.id)));
  return {is_known ? known.id : FieldId::kOther, key};
}

/// In place for the same reason.
[[gnu::always_inline]] inline const Field& FieldList::add_received(std::string_view name, NameKey name_key,
                                                                   std::string_view value,
                                                                   bool is_whole_line) {
  if (count_ == capacity_) grow();
  Field& field = fields_[count_];
  field.name = name;
  field.value = value;
  field.id = name_key.id;
  field.is_whole_line = is_whole_line;
  field.key = name_key.key;
  keys_[count_++] = name_key.key;
  ids_.add(name_key.id);
  return field;
}

}  // namespace moongate::http
