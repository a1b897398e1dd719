// SPDX-License-Identifier: Apache-2.0
// The lines of fields and the framing they declare. Every rule against request smuggling that concerns fields
// is in this file; those about the start line and Host are in request_head.cpp.
#include "http/field_lines.h"

#include "http/chars.h"
#include "http/field_name.h"

namespace moongate::http {
namespace {

constexpr uint64_t kLengthMax = 0x7FFFFFFFFFFFFFFFU;

void note_connection(std::string_view value, FieldFacts* facts) {
  if (equals_ignoring_case(value, "keep-alive")) {
    facts->lists_keep_alive = true;
    return;
  }
  if (has_list_token(value, "close")) facts->lists_close = true;
  if (has_list_token(value, "keep-alive")) facts->lists_keep_alive = true;
  if (has_list_token(value, "upgrade")) facts->lists_upgrade = true;
}

std::string_view explain_name_end(const char* line, const char* at, const char* end) {
  if (at != end && is_blank(*at)) {
    return at == line ? "a header line begins with white space"
                      : "white space between a header name and its colon";
  }
  if (at == line && at != end && *at == ':') return "a header without a name";
  return "a header name with a character that may not be there";
}

std::string_view explain_value_end(const char* at, const char* end) {
  if (at != end && *at == '\n') return "a header line ends in LF without CR";
  if (at != end && *at == '\r') return "a CR without LF in a header";
  return "a control character in a header value";
}

// Why a line is none: `at` is where its name ended.
std::string_view explain_line(const char* line, const char* at, const char* end) {
  if (is_line_end(line, end)) return "bytes after the end of the head";
  if (at == line && at != end && (*at == '\n' || *at == '\r')) return explain_value_end(at, end);
  return explain_name_end(line, at, end);
}

[[gnu::cold]] bool refuse_name(const char* line, const char* end, HeadFault* fault) {
  return refuse(fault, 400, explain_line(line, find_token_end(line, end), end));
}

// Whether a colon and one space stand at `at`, and a value behind them, as nearly all write it.
bool is_value_spaced(const char* at, const char* end) {
  return end - at > 2 && std::memcmp(at, ": ", 2) == 0 && static_cast<uint8_t>(at[2]) > ' ';
}

// Sorts a Transfer-Encoding that is not just `chunked` into what is only unknown here (501) and what is wrong
// (400).
bool refuse_coding(std::string_view list, HeadFault* fault) {
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view coding = trim_blanks(list.substr(0, comma));
    const bool is_last = comma == std::string_view::npos;
    if (!is_field_name(coding)) return refuse(fault, 400, "a malformed Transfer-Encoding");
    const bool is_chunked = equals_ignoring_case(coding, "chunked");
    if (is_chunked && !is_last) return refuse(fault, 400, "Transfer-Encoding with chunked before the end");
    if (is_last) return refuse(fault, 501, "a transfer coding other than chunked");
    list.remove_prefix(comma + 1);
  }
}

bool read_length(std::string_view text, uint64_t* length, HeadFault* fault) {
  if (text.empty()) return refuse(fault, 400, "an empty Content-Length");
  uint64_t number = 0;
  bool is_too_large = false;
  for (const char c : text) {
    if (!is_digit(static_cast<uint8_t>(c))) return refuse(fault, 400, "a Content-Length that is no number");
    const auto digit = static_cast<uint64_t>(c - '0');
    if (number >= kLengthMax / 10 && number > (kLengthMax - digit) / 10) is_too_large = true;
    if (!is_too_large) number = number * 10 + digit;
  }
  if (is_too_large) return refuse(fault, 413, "a Content-Length beyond 2^63-1");
  *length = number;
  return true;
}

// Those note_field() has a case for: most fields are none of them, and a call for each would show.
constexpr FieldIds kNoted = {FieldId::kHost,       FieldId::kContentLength, FieldId::kTransferEncoding,
                             FieldId::kConnection, FieldId::kUpgrade,       FieldId::kExpect,
                             FieldId::kTe};

}  // namespace

void note_field(const Field& field, FieldFacts* facts) {
  switch (field.id) {
    case FieldId::kHost:
      facts->host = field.value;
      facts->host_count++;
      break;
    case FieldId::kContentLength:
      facts->content_length = field.value;
      facts->content_length_count++;
      break;
    case FieldId::kTransferEncoding:
      facts->transfer_encoding = field.value;
      facts->transfer_encoding_count++;
      break;
    case FieldId::kConnection:
      note_connection(field.value, facts);
      break;
    case FieldId::kUpgrade:
      facts->has_upgrade_field = true;
      facts->has_http2_upgrade |= has_list_token(field.value, "h2c");
      break;
    case FieldId::kExpect:
      if (equals_ignoring_case(field.value, "100-continue")) {
        facts->has_continue_expectation = true;
      } else {
        facts->has_other_expectation = true;
      }
      break;
    case FieldId::kTe:
      if (has_list_token(field.value, "trailers")) facts->has_te_trailers = true;
      break;
    default:
      break;
  }
}

bool parse_field_lines(std::string_view bytes, uint32_t fields_max, FieldList* fields, FieldFacts* facts,
                       HeadFault* fault) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (end - at > 2) {
    const char* const name_end = find_byte(at, end, ':');
    if (name_end == end) return refuse_name(at, end, fault);  // joined by `or`, the two cost more steps
    if (name_end == at) return refuse_name(at, end, fault);
    const std::string_view name(at, static_cast<size_t>(name_end - at));
    const NameKey name_key = find_name_key(name);
    // A known name is one; only of another each byte is looked at.
    if (name_key.id == FieldId::kOther && find_token_end(at, end) != name_end)
      return refuse_name(at, end, fault);
    const bool is_spaced = is_value_spaced(name_end, end);
    const char* const value = is_spaced ? name_end + 2 : skip_blanks(name_end + 1, end);
    const char* const line_end = find_line_end(bytes.data(), value, end);
    if (!is_line_end(line_end, end)) return refuse(fault, 400, explain_value_end(line_end, end));
    const char* value_end = line_end;  // up to here no byte below the space is left but tabs
    while (static_cast<uint8_t>(value_end[-1]) <= ' ' && value_end != value) --value_end;
    if (fields->count() == fields_max) return refuse(fault, 431, "too many headers");
    const Field& field = fields->add_received(name, name_key, {value, static_cast<size_t>(value_end - value)},
                                              is_spaced && value_end == line_end);
    if (kNoted.has(name_key.id)) note_field(field, facts);
    at = line_end + 2;
  }
  if (at == end) return refuse(fault, 400, "a head without the empty line at its end");
  if (!is_line_end(at, end)) return refuse(fault, 400, explain_line(at, at, end));
  return true;
}

bool read_framing(const FieldFacts& facts, uint8_t version_minor, Framing* framing, HeadFault* fault) {
  if (facts.content_length_count > 1) return refuse(fault, 400, "more than one Content-Length");
  if (facts.transfer_encoding_count > 1) return refuse(fault, 400, "more than one Transfer-Encoding");
  if (facts.transfer_encoding_count == 1) {
    if (facts.content_length_count == 1)
      return refuse(fault, 400, "both Content-Length and Transfer-Encoding");
    if (version_minor == 0) return refuse(fault, 400, "Transfer-Encoding with HTTP/1.0");
    if (!equals_ignoring_case(facts.transfer_encoding, "chunked"))
      return refuse_coding(facts.transfer_encoding, fault);
    framing->is_chunked = true;
    return true;
  }
  if (facts.content_length_count == 0) return true;
  framing->has_length = true;
  return read_length(facts.content_length, &framing->length, fault);
}

bool is_field_name(std::string_view name) {
  const char* const end = name.data() + name.size();
  return !name.empty() && find_token_end(name.data(), end) == end;
}

bool is_field_value(std::string_view value) { return !has_control(value); }

}  // namespace moongate::http
