// SPDX-License-Identifier: Apache-2.0
// Turns heads into bytes. Callers size the buffer first, so that a head is written once into memory that is
// ready to send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "http/fields.h"
#include "http/head.h"

namespace moongate::http {

/// Upper bound of what the write_* functions below produce for these fields.
size_t head_size_bound(const FieldList& fields, size_t start_line_size);

/// Appends every field that `is_left_out` does not name, in order; the new end. Lines that stand one after
/// the other in the received head are copied together.
template <class IsLeftOut>
char* write_fields(char* at, const FieldList& fields, IsLeftOut is_left_out);
/// Appends `name: value\r\n`; the new end.
char* write_field(char* at, std::string_view name, std::string_view value);
/// `METHOD target HTTP/1.1\r\n`
char* write_request_line(char* at, std::string_view method, std::string_view path, std::string_view query,
                         bool has_query);
/// `HTTP/1.1 200 OK\r\n`; an empty reason gives the standard one.
char* write_status_line(char* at, uint16_t status, std::string_view reason);
/// Appends a decimal number.
char* write_number(char* at, uint64_t number);

/// What never travels on, whatever Connection says.
inline constexpr FieldIds kHopByHop = {FieldId::kConnection,       FieldId::kKeepAlive,
                                       FieldId::kProxyConnection,  FieldId::kTe,
                                       FieldId::kTransferEncoding, FieldId::kUpgrade};

/// True for fields that belong to one connection and never travel on (RFC 9110 7.6.1): Connection and what it
/// lists, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade. `connection` is the Connection
/// field's value, or empty.
bool is_hop_by_hop(const Field& field, std::string_view connection);
/// Takes all of these out of `fields`, each of its Connection fields obeyed.
void remove_hop_by_hop(FieldList& fields);

template <class IsLeftOut>
char* write_fields(char* at, const FieldList& fields, IsLeftOut is_left_out) {
  const char* run = nullptr;  // whole lines, not copied yet
  const char* run_end = nullptr;
  const auto copy_run = [&run, &run_end, &at] {
    const auto size = static_cast<size_t>(run_end - run);
    if (size > 0) std::memcpy(at, run, size);
    at += size;
    run = run_end = nullptr;
  };
  for (const Field& field : fields) {
    if (is_left_out(field)) continue;
    if (field.name.data() != run_end || !field.is_whole_line) copy_run();
    if (!field.is_whole_line) {
      at = write_field(at, field.name, field.value);
      continue;
    }
    if (run == nullptr) run = field.name.data();
    run_end = field.value.data() + field.value.size() + 2;
  }
  copy_run();
  return at;
}

}  // namespace moongate::http
