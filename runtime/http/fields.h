// SPDX-License-Identifier: Apache-2.0
// Header fields: an ordered list of name/value views, with small integers for the names the runtime itself
// cares about. The list owns nothing; views point into the received bytes or into the exchange's arena.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/arena.h"

namespace moongate::http {

/// Names the runtime looks at on its own account. Everything else is kOther and compared by text.
enum class FieldId : uint8_t {
  kOther,
  kAccept,
  kAcceptEncoding,
  kAltSvc,
  kAuthorization,
  kCacheControl,
  kConnection,
  kContentEncoding,
  kContentLength,
  kContentType,
  kCookie,
  kDate,
  kETag,
  kExpect,
  kForwarded,
  kHost,
  kKeepAlive,
  kLastModified,
  kLocation,
  kOrigin,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kReferer,
  kRetryAfter,
  kServer,
  kSetCookie,
  kTe,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kUserAgent,
  kVary,
  kVia,
  kXForwardedFor,
  kXForwardedHost,
  kXForwardedPort,
  kXForwardedProto,
  kXRealIp,
  kCount
};

/// A set of ids.
class FieldIds {
 public:
  constexpr FieldIds() = default;
  constexpr FieldIds(std::initializer_list<FieldId> ids) {
    for (const FieldId id : ids) add(id);
  }
  constexpr void add(FieldId id) { bits_ |= bit(id); }
  constexpr bool has(FieldId id) const { return (bits_ & bit(id)) != 0; }
  constexpr bool has_any(FieldIds ids) const { return (bits_ & ids.bits_) != 0; }

 private:
  static_assert(static_cast<unsigned>(FieldId::kCount) <= 64);
  static constexpr uint64_t bit(FieldId id) { return uint64_t{1} << static_cast<unsigned>(id); }

  uint64_t bits_ = 0;
};

struct NameKey;  // field_name.h

struct Field {
  Field() = default;
  Field(std::string_view field_name, std::string_view field_value);

  std::string_view name;   // as received or as given; never empty
  std::string_view value;  // without surrounding white space
  FieldId id = FieldId::kOther;
  bool is_whole_line = false;  // received as `name: value` CR LF, so that its bytes can be sent as they stand
  uint32_t key = 0;            // of the name: equal names have equal keys, in whatever case
};

/// The id of a field name in any case, kOther when it is none of ours.
FieldId find_field_id(std::string_view name);
/// ASCII case-insensitive equality.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// True when `list` (a comma-separated field value) has `token` as an element, in any case.
bool has_list_token(std::string_view list, std::string_view token);

/// A message's fields in order.
///
/// Shape:   an array that grows in `arena`, and beside it the keys of its names, so that a search reads a
///          cache line and not every field; removed fields are closed up, the order of the rest is kept.
/// Owner:   the exchange; all views must live as long as its arena.
/// Fails:   never; the parser enforces the limit on the number of received fields.
class FieldList {
 public:
  explicit FieldList(base::Arena* arena) : arena_(arena) {}

  const Field* begin() const { return fields_; }
  const Field* end() const { return fields_ + count_; }
  uint32_t count() const { return count_; }
  const Field& operator[](uint32_t index) const { return fields_[index]; }
  void clear() {
    count_ = indexed_ = 0;
    key_bits_ = 0;
    ids_ = {};
  }
  void reset(base::Arena* arena);  // forgets everything, allocates from `arena` from now on

  /// False when no field has one of these ids, which most lists say at once; true says nothing.
  bool may_have(FieldIds ids) const { return ids_.has_any(ids); }
  /// First field of that name, or null.
  const Field* find(FieldId id) const { return ids_.has(id) ? find_known(id) : nullptr; }
  const Field* find(std::string_view name) const;
  const Field* find(const Field& of_that_name) const {
    const uint32_t index = find_index(of_that_name);
    return index == count_ ? nullptr : fields_ + index;
  }

  /// How many fields have that name.
  uint32_t count(const Field& of_that_name) const;

  /// Appends without looking. The views must outlive the list: copy them into the arena first if they do not.
  void add(std::string_view name, std::string_view value) { add(Field(name, value)); }
  void add(const Field& field) {
    if (count_ == capacity_) grow();
    keys_[count_] = field.key;
    fields_[count_++] = field;
    ids_.add(field.id);
  }
  /// The same for what a parser found: see Field::is_whole_line. The field is where it belongs from the
  /// start.
  const Field& add_received(std::string_view name, NameKey name_key, std::string_view value,
                            bool is_whole_line);
  /// Replaces the first field of that name and removes further ones, or appends.
  void set(std::string_view name, std::string_view value) { set(Field(name, {}), value); }
  void set(const Field& of_that_name, std::string_view value);
  /// Removes every field of that name; how many there were.
  uint32_t remove(std::string_view name) { return name.empty() ? 0 : remove(Field(name, {})); }
  uint32_t remove(const Field& field) { return remove_from(find_index(field), field); }
  uint32_t remove(FieldId id) { return ids_.has(id) ? remove_known(id) : 0; }
  /// Removes the field at `index`.
  void remove_at(uint32_t index);

 private:
  static uint64_t key_bit(uint32_t key) { return uint64_t{1} << (key % 64); }

  void grow();
  const Field* find_known(FieldId id) const;
  uint32_t remove_known(FieldId id);
  // Most searches for what plugins name end at once: nothing in the list could be called so.
  uint32_t find_index(const Field& field) const {
    for (; indexed_ < count_; ++indexed_) key_bits_ |= key_bit(keys_[indexed_]);
    return (key_bits_ & key_bit(field.key)) == 0 ? count_ : find_from(0, field);
  }
  uint32_t find_from(uint32_t start, const Field& field) const;
  uint32_t find_among(uint32_t at, unsigned hits, const Field& field) const;
  uint32_t remove_from(uint32_t first, const Field& field);

  base::Arena* arena_;
  Field* fields_ = nullptr;
  uint32_t* keys_ = nullptr;       // of fields_; room for a multiple of 16
  mutable uint64_t key_bits_ = 0;  // of the keys of the first indexed_ fields, and of some that were there
  mutable uint32_t indexed_ = 0;   // below count_ where nobody has searched since the last were added
  uint32_t count_ = 0;
  uint32_t capacity_ = 0;
  FieldIds ids_;  // of the fields, and of some that were there
};

}  // namespace moongate::http
