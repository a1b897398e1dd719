// SPDX-License-Identifier: Apache-2.0
// The list of fields and the lookup of known names. The lookup is a perfect hash over three properties of a
// name, found at compile time, and one comparison: it runs for every field of every message.
#include "http/fields.h"

#include <array>
#include <cstring>

#include "base/assert.h"
#include "http/chars.h"

namespace moongate::http {
namespace {

constexpr uint32_t kFirstCapacity = 16;

// In the order of FieldId; kOther has no name.
constexpr std::array<std::string_view, static_cast<size_t>(FieldId::kCount)> kNames = {"",
                                                                                       "accept",
                                                                                       "accept-encoding",
                                                                                       "alt-svc",
                                                                                       "authorization",
                                                                                       "cache-control",
                                                                                       "connection",
                                                                                       "content-encoding",
                                                                                       "content-length",
                                                                                       "content-type",
                                                                                       "cookie",
                                                                                       "date",
                                                                                       "etag",
                                                                                       "expect",
                                                                                       "forwarded",
                                                                                       "host",
                                                                                       "keep-alive",
                                                                                       "last-modified",
                                                                                       "location",
                                                                                       "origin",
                                                                                       "proxy-authenticate",
                                                                                       "proxy-authorization",
                                                                                       "proxy-connection",
                                                                                       "referer",
                                                                                       "retry-after",
                                                                                       "server",
                                                                                       "set-cookie",
                                                                                       "te",
                                                                                       "trailer",
                                                                                       "transfer-encoding",
                                                                                       "upgrade",
                                                                                       "user-agent",
                                                                                       "vary",
                                                                                       "via",
                                                                                       "x-forwarded-for",
                                                                                       "x-forwarded-host",
                                                                                       "x-forwarded-port",
                                                                                       "x-forwarded-proto",
                                                                                       "x-real-ip"};

constexpr size_t kNameMin = 2;
constexpr size_t kNameMax = 19;
constexpr size_t kSlots = 256;

constexpr uint32_t hash_name(std::string_view name, uint32_t factor) {
  const auto first = static_cast<uint32_t>(static_cast<uint8_t>(name[0]) | 0x20);
  const auto next_to_last = static_cast<uint32_t>(static_cast<uint8_t>(name[name.size() - 2]) | 0x20);
  const uint32_t key = static_cast<uint32_t>(name.size()) << 16 | first << 8 | next_to_last;
  return (key * factor) >> 24;
}

constexpr bool is_perfect(uint32_t factor) {
  std::array<bool, kSlots> taken{};
  for (size_t i = 1; i < kNames.size(); ++i) {
    bool& slot = taken[hash_name(kNames[i], factor)];
    if (slot) return false;
    slot = true;
  }
  return true;
}

constexpr uint32_t find_factor() {
  uint32_t factor = 0x9E3779B1U;
  while (!is_perfect(factor)) factor += 2;
  return factor;
}

constexpr uint32_t kFactor = find_factor();

constexpr std::array<FieldId, kSlots> kIds = [] {
  std::array<FieldId, kSlots> ids{};
  for (size_t i = 1; i < kNames.size(); ++i) ids[hash_name(kNames[i], kFactor)] = static_cast<FieldId>(i);
  return ids;
}();

uint64_t load_word(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// Lower-cases the ASCII letters among eight bytes and leaves every other byte alone, bytes above 0x7F
// included.
uint64_t lower_word(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101U;
  const uint64_t low_bits = word & (kOnes * 0x7F);
  const uint64_t from_a = low_bits + kOnes * (0x80 - 'A');
  const uint64_t above_z = low_bits + kOnes * (0x7F - 'Z');
  const uint64_t upper = (from_a ^ above_z) & ~word & (kOnes * 0x80);
  return word | (upper >> 2);
}

bool words_match(const char* a, const char* b) {
  return lower_word(load_word(a)) == lower_word(load_word(b));
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t size = a.size();
  if (size < 8) {
    for (size_t i = 0; i < size; ++i) {
      if (to_lower(a[i]) != to_lower(b[i])) return false;
    }
    return true;
  }
  for (size_t i = 0; i + 8 <= size; i += 8) {
    if (!words_match(a.data() + i, b.data() + i)) return false;
  }
  return words_match(a.data() + size - 8, b.data() + size - 8);
}

FieldId find_field_id(std::string_view name) {
  if (name.size() < kNameMin || name.size() > kNameMax) return FieldId::kOther;
  const FieldId id = kIds[hash_name(name, kFactor)];
  if (id == FieldId::kOther) return id;
  return equals_ignoring_case(name, kNames[static_cast<size_t>(id)]) ? id : FieldId::kOther;
}

bool has_list_token(std::string_view list, std::string_view token) {
  while (true) {
    const size_t comma = list.find(',');
    if (equals_ignoring_case(trim_blanks(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

void FieldList::reset(base::Arena* arena) {
  arena_ = arena;
  fields_ = nullptr;
  count_ = 0;
  capacity_ = 0;
}

const Field* FieldList::find(FieldId id) const {
  for (const Field& field : *this) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

const Field* FieldList::find(std::string_view name) const {
  const FieldId id = find_field_id(name);
  if (id != FieldId::kOther) return find(id);
  for (const Field& field : *this) {
    if (field.id == FieldId::kOther && equals_ignoring_case(field.name, name)) return &field;
  }
  return nullptr;
}

void FieldList::grow() {
  const uint32_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
  auto* fields = arena_->allocate_array<Field>(capacity);
  if (count_ > 0) std::memcpy(static_cast<void*>(fields), fields_, count_ * sizeof(Field));
  fields_ = fields;
  capacity_ = capacity;
}

template <class Matches>
uint32_t FieldList::remove_from(uint32_t start, Matches matches) {
  uint32_t kept = start;
  for (uint32_t i = start; i < count_; ++i) {
    if (matches(fields_[i])) continue;
    if (kept != i) fields_[kept] = fields_[i];
    ++kept;
  }
  const uint32_t removed = count_ - kept;
  count_ = kept;
  return removed;
}

void FieldList::set(std::string_view name, std::string_view value) {
  const Field* first = find(name);
  const Field field{name, value, find_field_id(name)};
  if (first == nullptr) {
    add(field);
    return;
  }
  const auto index = static_cast<uint32_t>(first - fields_);
  fields_[index] = field;
  remove_from(index + 1, [&field](const Field& other) {
    return other.id == field.id &&
           (field.id != FieldId::kOther || equals_ignoring_case(other.name, field.name));
  });
}

uint32_t FieldList::remove(std::string_view name) {
  const FieldId id = find_field_id(name);
  if (id != FieldId::kOther) return remove(id);
  return remove_from(0, [name](const Field& field) {
    return field.id == FieldId::kOther && equals_ignoring_case(field.name, name);
  });
}

uint32_t FieldList::remove(FieldId id) {
  return remove_from(0, [id](const Field& field) { return field.id == id; });
}

void FieldList::remove_at(uint32_t index) {
  MG_ASSERT(index < count_);
  for (uint32_t i = index + 1; i < count_; ++i) fields_[i - 1] = fields_[i];
  --count_;
}

}  // namespace moongate::http
