// SPDX-License-Identifier: Apache-2.0
// Writes heads into memory the caller has sized. Names and values are taken as they are: whoever puts a field
// into a list has checked it (the parsers did, the script bindings ask is_field_name and is_field_value).
#include "http/writer.h"

#include <charconv>

#include "base/copy.h"

namespace moongate::http {
namespace {

char* append(char* at, std::string_view text) {
  base::copy_short(at, text.data(), text.size());
  return at + text.size();
}

}  // namespace

size_t head_size_bound(const FieldList& fields, size_t start_line_size) {
  size_t size = start_line_size + 2;
  for (const Field& field : fields) size += field.name.size() + field.value.size() + 4;
  return size;
}

char* write_field(char* at, std::string_view name, std::string_view value) {
  at = append(at, name);
  at = append(at, ": ");
  at = append(at, value);
  return append(at, "\r\n");
}

char* write_request_line(char* at, std::string_view method, std::string_view path, std::string_view query,
                         bool has_query) {
  at = append(at, method);
  *at++ = ' ';
  at = append(at, path);
  if (has_query) {
    *at++ = '?';
    at = append(at, query);
  }
  return append(at, " HTTP/1.1\r\n");
}

char* write_status_line(char* at, uint16_t status, std::string_view reason) {
  constexpr std::string_view kUsual = "HTTP/1.1 200 OK\r\n";
  if (status == 200 && (reason.empty() || reason == "OK")) return append(at, kUsual);
  at = append(at, "HTTP/1.1 ");
  at = write_number(at, status);
  *at++ = ' ';
  at = append(at, reason.empty() ? status_reason(status) : reason);
  return append(at, "\r\n");
}

char* write_number(char* at, uint64_t number) { return std::to_chars(at, at + 20, number).ptr; }

bool is_hop_by_hop(const Field& field, std::string_view connection) {
  if (kHopByHop.has(field.id)) return true;
  // The other names we know travel end to end. Connection cannot take them away: a client would rid itself of
  // Host, of its length or of the address that a proxy before us noted.
  return field.id == FieldId::kOther && !connection.empty() && has_list_token(connection, field.name);
}

void remove_hop_by_hop(FieldList& fields) {
  if (!fields.may_have(kHopByHop)) return;
  std::string listed;  // most senders list nothing but whether the connection goes on
  for (uint32_t i = 0; i < fields.count();) {
    const Field& field = fields[i];
    if (!kHopByHop.has(field.id)) {
      i++;
      continue;
    }
    if (field.id == FieldId::kConnection && field.value != "keep-alive" && field.value != "close")
      listed.append(listed.empty() ? "" : ",").append(field.value);
    fields.remove_at(i);
  }
  for (uint32_t i = 0; !listed.empty() && i < fields.count();) {
    if (is_hop_by_hop(fields[i], listed))
      fields.remove_at(i);
    else
      i++;
  }
}

}  // namespace moongate::http
