// SPDX-License-Identifier: Apache-2.0
#include "proxy/answer_length.h"

#include <charconv>

#include "http/writer.h"

namespace moongate::proxy {

using exchange::Exchange;
using http::FieldId;

bool settle_bodiless(Exchange& exchange) {
  const uint16_t status = exchange.response.status;
  const bool is_without_length = status == 204 || status < 200;
  if (is_without_length) exchange.response.fields.remove(FieldId::kContentLength);
  return is_without_length || status == 304 || exchange.request.method == http::Method::kHead;
}

std::optional<uint64_t> find_length(const http::FieldList& fields) {
  const http::Field* length = fields.find(FieldId::kContentLength);
  if (!length) return std::nullopt;
  uint64_t size = 0;
  const char* end = length->value.data() + length->value.size();
  const auto parsed = std::from_chars(length->value.data(), end, size);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return size;
}

std::optional<uint64_t> settle_length(Exchange& exchange, const iovec* pieces, int count, bool is_whole) {
  http::FieldList& fields = exchange.response.fields;
  if (const auto said = find_length(fields)) return said;
  fields.remove(FieldId::kContentLength);
  if (!is_whole) return std::nullopt;
  uint64_t size = 0;
  for (int i = 0; i < count; i++) size += pieces[i].iov_len;
  char* text = exchange.arena.allocate_chars(20);
  char* end = http::write_number(text, size);
  fields.add("Content-Length", {text, static_cast<size_t>(end - text)});
  return size;
}

}  // namespace moongate::proxy
