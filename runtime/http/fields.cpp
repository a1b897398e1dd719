// SPDX-License-Identifier: Apache-2.0
// The list of fields and the lookup of known names. The lookup is a perfect hash over a name's words, found
// at compile time, and one comparison: it runs for every field of every message.
#include "http/fields.h"

#include <array>
#include <cstring>

#include "base/assert.h"
#include "http/chars.h"
#include "http/field_name.h"

namespace moongate::http {
namespace {

constexpr uint32_t kKeysAtOnce = 16;  // are compared; lists have room for a multiple of it
constexpr uint32_t kFirstCapacity = kKeysAtOnce;

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

// The words of a name known at compile time: it is in lower case.
constexpr NameWords words_of(std::string_view name) {
  const auto load = [name](size_t from, size_t count) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; ++i) word |= uint64_t{static_cast<uint8_t>(name[from + i])} << (8 * i);
    return word;
  };
  const size_t size = name.size();
  if (size >= 8) return {load(0, 8), load(size - 8, 8)};
  if (size >= 4) return {load(size - 4, 4) << 32 | load(0, 4), kSpaces};
  return {kSpaces << 24 | load(size - 1, 1) << 16 | load(size / 2, 1) << 8 | load(0, 1), kSpaces};
}

// A letter's case for each byte that is one.
constexpr uint64_t cases_of(uint64_t word) {
  uint64_t cases = 0;
  for (unsigned i = 0; i < 64; i += 8) {
    if (is_letter(static_cast<uint8_t>(word >> i))) cases |= uint64_t{0x20} << i;
  }
  return cases;
}

constexpr bool is_perfect(uint64_t factor) {
  std::array<bool, 256> taken{};
  for (size_t i = 1; i < kNames.size(); ++i) {
    bool& slot = taken[mix_name(words_of(kNames[i]), kNames[i].size(), factor) >> 24];
    if (slot) return false;
    slot = true;
  }
  return true;
}

constexpr uint64_t find_factor() {
  uint64_t factor = 0x9E3779B97F4A7C15U;
  while (!is_perfect(factor)) factor += 0x9E3779B97F4A7C16U;
  return factor;
}

constexpr KnownNames make_known_names() {
  KnownNames names{find_factor(), {}};
  for (size_t i = 1; i < kNames.size(); ++i) {
    const NameWords words = words_of(kNames[i]);
    const auto size = static_cast<uint32_t>(kNames[i].size());
    const NameWords cases = {cases_of(words.first), cases_of(words.last)};
    names.slots[mix_name(words, size, names.factor) >> 24] = {words, cases, size, static_cast<FieldId>(i)};
  }
  return names;
}

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

inline bool words_match(const char* a, const char* b) {
  const uint64_t left = load_word(a);
  const uint64_t right = load_word(b);
  return left == right || lower_word(left) == lower_word(right);
}

}  // namespace

constexpr KnownNames kKnownNames = make_known_names();

std::string_view known_name(FieldId id) { return kNames[static_cast<size_t>(id)]; }

Field::Field(std::string_view field_name, std::string_view field_value)
    : name(field_name), value(field_value) {
  if (name.empty()) return;
  const NameKey found = find_name_key(name);
  id = found.id;
  key = found.key;
}

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

FieldId find_field_id(std::string_view name) { return name.empty() ? FieldId::kOther : Field(name, {}).id; }

bool has_list_token(std::string_view list, std::string_view token) {
  while (true) {
    const size_t comma = list.find(',');
    if (equals_ignoring_case(trim_blanks(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

namespace {

// The known names as fields without a value: what find(FieldId) looks for.
const std::array<Field, static_cast<size_t>(FieldId::kCount)>& known_fields() {
  static const auto fields = [] {
    std::array<Field, static_cast<size_t>(FieldId::kCount)> made;
    for (size_t i = 1; i < kNames.size(); ++i) made[i] = Field(kNames[i], {});
    return made;
  }();
  return fields;
}

bool is_same_name(const Field& a, const Field& b) {
  return a.id == b.id && (a.id != FieldId::kOther || equals_ignoring_case(a.name, b.name));
}

}  // namespace

void FieldList::reset(base::Arena* arena) {
  clear();
  arena_ = arena;
  fields_ = nullptr;
  keys_ = nullptr;
  capacity_ = 0;
}

const Field* FieldList::find_known(FieldId id) const {
  const uint32_t index = find_from(0, known_fields()[static_cast<size_t>(id)]);
  return index == count_ ? nullptr : fields_ + index;
}

const Field* FieldList::find(std::string_view name) const {
  return name.empty() ? nullptr : find(Field(name, {}));
}

uint32_t FieldList::count(const Field& of_that_name) const {
  uint32_t found = 0;
  for (uint32_t at = find_index(of_that_name); at < count_; at = find_from(at + 1, of_that_name)) found++;
  return found;
}

void FieldList::grow() {
  const uint32_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
  auto* fields = arena_->allocate_array<Field>(capacity);
  auto* keys = arena_->allocate_array<uint32_t>(capacity);
  if (count_ > 0) {
    std::memcpy(static_cast<void*>(fields), fields_, count_ * sizeof(Field));
    std::memcpy(keys, keys_, count_ * sizeof(uint32_t));
  }
  std::memset(keys + count_, 0, (capacity - count_) * sizeof(uint32_t));
  fields_ = fields;
  keys_ = keys;
  capacity_ = capacity;
}

#if defined(__SSE2__)
namespace {

// A bit for each of the kKeysAtOnce keys at `keys` that is `key`.
inline unsigned match_keys(const uint32_t* keys, uint32_t key) {
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(key));
  const auto match = [keys, wanted](int four) {
    return _mm_cmpeq_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(keys) + four), wanted);
  };
  const __m128i words =
      _mm_packs_epi16(_mm_packs_epi32(match(0), match(1)), _mm_packs_epi32(match(2), match(3)));
  return static_cast<unsigned>(_mm_movemask_epi8(words));
}

}  // namespace
#endif

// The index of the first field of that name from `start` on; count() when there is none.
uint32_t FieldList::find_from(uint32_t start, const Field& field) const {
#if defined(__SSE2__)
  const uint32_t at = start & ~(kKeysAtOnce - 1);
  if (at >= count_) return count_;
  const unsigned hits = match_keys(keys_ + at, field.key) & ~0U << (start - at);
  // Nearly always: a short list without such a name.
  if (hits == 0 && at + kKeysAtOnce >= count_) return count_;
  return find_among(at, hits, field);
#else
  uint32_t index = start;
  while (index < count_ && (keys_[index] != field.key || !is_same_name(fields_[index], field))) ++index;
  return index;
#endif
}

#if defined(__SSE2__)
// The same, where `hits` are the keys that match among the kKeysAtOnce at `at`.
uint32_t FieldList::find_among(uint32_t at, unsigned hits, const Field& field) const {
  while (true) {
    for (; hits != 0; hits &= hits - 1) {
      const uint32_t index = at + static_cast<uint32_t>(__builtin_ctz(hits));
      if (index >= count_) return count_;
      if (is_same_name(fields_[index], field)) return index;
    }
    at += kKeysAtOnce;
    if (at >= count_) return count_;
    hits = match_keys(keys_ + at, field.key);
  }
}
#endif

// Removes the fields of that name from the one at `first` on.
uint32_t FieldList::remove_from(uint32_t first, const Field& field) {
  const uint32_t before = count_;
  while (first < count_) {
    remove_at(first);
    first = find_from(first, field);
  }
  return before - count_;
}

void FieldList::set(const Field& of_that_name, std::string_view value) {
  const uint32_t index = find_index(of_that_name);
  if (index == count_) {
    add(of_that_name);
    fields_[index].value = value;
    return;
  }
  fields_[index] = of_that_name;
  fields_[index].value = value;
  remove_from(find_from(index + 1, of_that_name), of_that_name);
}

uint32_t FieldList::remove_known(FieldId id) { return remove(known_fields()[static_cast<size_t>(id)]); }

void FieldList::remove_at(uint32_t index) {
  MG_ASSERT(index < count_);
  --count_;
  if (index < indexed_) --indexed_;
  const uint32_t behind = count_ - index;
  std::memmove(static_cast<void*>(fields_ + index), fields_ + index + 1, behind * sizeof(Field));
  std::memmove(keys_ + index, keys_ + index + 1, behind * sizeof(uint32_t));
}

}  // namespace moongate::http
