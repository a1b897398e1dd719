// SPDX-License-Identifier: Apache-2.0
// The status line, and how the body of a response is delimited. An upstream is trusted no more than a client:
// what it answers on a kept connection must have exactly one reading.
#include "http/chars.h"
#include "http/field_lines.h"
#include "http/head.h"

namespace moongate::http {
namespace {

constexpr size_t kStatusLineMin = 12;  // HTTP/1.1 200

bool parse_status_line(std::string_view bytes, ResponseHead* out, std::string_view* rest, HeadFault* fault) {
  const bool has_version = bytes.size() >= kStatusLineMin + 2 && bytes.substr(0, 7) == "HTTP/1." &&
                           (bytes[7] == '0' || bytes[7] == '1') && bytes[8] == ' ';
  if (!has_version) return refuse(fault, 502, "a status line without HTTP/1.0 or HTTP/1.1");
  out->version_minor = static_cast<uint8_t>(bytes[7] - '0');
  uint32_t status = 0;
  for (const char c : bytes.substr(9, 3)) {
    if (!is_digit(static_cast<uint8_t>(c))) return refuse(fault, 502, "a malformed status code");
    status = status * 10 + static_cast<uint32_t>(c - '0');
  }
  if (status < 100) return refuse(fault, 502, "a status code below 100");
  out->status = static_cast<uint16_t>(status);

  const char* const end = bytes.data() + bytes.size();
  const char* reason = bytes.data() + kStatusLineMin;
  const char* const line_end = find_control(bytes.data(), reason, end);
  if (end - line_end < 2 || line_end[0] != '\r' || line_end[1] != '\n') {
    return refuse(fault, 502, "a status line with a control character or a bare line end");
  }
  if (line_end != reason && *reason != ' ') return refuse(fault, 502, "a malformed status code");
  if (line_end != reason) ++reason;
  out->reason = {reason, static_cast<size_t>(line_end - reason)};
  *rest = {line_end + 2, static_cast<size_t>(end - line_end - 2)};
  return true;
}

// Statuses that never have a body, whatever the fields say.
bool is_bodiless(uint16_t status) { return status < 200 || status == 204 || status == 304; }

bool set_body(const Framing& framing, Method request_method, ResponseHead* out, HeadFault* fault) {
  const bool has_content = framing.is_chunked || framing.length > 0;
  out->content_length = framing.length;
  if (out->status < 200 && has_content)
    return refuse(fault, 502, "an interim response that announces a body");
  if (is_bodiless(out->status) || request_method == Method::kHead) {
    out->body = BodyKind::kNone;
    // A 204 may not announce a body; when it does, nobody knows what follows on this connection.
    if (out->status == 204 && has_content) out->is_keep_alive = false;
  } else if (framing.is_chunked) {
    out->body = BodyKind::kChunked;
  } else if (framing.has_length) {
    out->body = BodyKind::kLength;
  } else {
    out->body = BodyKind::kUntilClose;
    out->is_keep_alive = false;
  }
  return true;
}

bool parse(std::string_view bytes, const HeadLimits& limits, Method request_method, ResponseHead* out,
           HeadFault* fault) {
  std::string_view rest;
  if (!parse_status_line(bytes, out, &rest, fault)) return false;
  FieldFacts facts;
  if (!parse_field_lines(rest, limits.fields_max, &out->fields, &facts, fault)) return false;
  Framing framing;
  if (!read_framing(facts, out->version_minor, &framing, fault)) return false;
  out->is_keep_alive = keeps_alive(facts, out->version_minor);
  out->has_upgrade = facts.lists_upgrade && facts.has_upgrade_field;
  return set_body(framing, request_method, out, fault);
}

}  // namespace

bool parse_response_head(std::string_view bytes, const HeadLimits& limits, Method request_method,
                         ResponseHead* out, std::string_view* reason) {
  HeadFault fault;
  if (parse(bytes, limits, request_method, out, &fault)) return true;
  *reason = fault.reason;
  return false;
}

}  // namespace moongate::http
