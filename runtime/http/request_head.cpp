// SPDX-License-Identifier: Apache-2.0
// The request line, Host, and what a request's fields mean together. The lines of fields are
// field_lines.cpp's; what the target means is uri.cpp's.
#include <cstring>

#include "http/chars.h"
#include "http/field_lines.h"
#include "http/head.h"

namespace moongate::http {
namespace {

constexpr std::string_view kVersionPrefix = "HTTP/1.";
constexpr size_t kVersionSize = 8;

// `version_at` is all of the request line after the second space and the rest of the head.
bool parse_version(std::string_view version_at, RequestHead* out, HeadFault* fault) {
  if (version_at.size() >= kVersionSize + 2 &&
      version_at.substr(0, kVersionPrefix.size()) == kVersionPrefix &&
      (version_at[7] == '0' || version_at[7] == '1') && version_at[8] == '\r' && version_at[9] == '\n') {
    out->version_minor = static_cast<uint8_t>(version_at[7] - '0');
    return true;
  }
  const std::string_view line = version_at.substr(0, version_at.find('\n'));
  const bool is_other_version = line.size() == kVersionSize + 1 && line.substr(0, 5) == "HTTP/" &&
                                is_digit(static_cast<uint8_t>(line[5])) && line[6] == '.' &&
                                is_digit(static_cast<uint8_t>(line[7])) && line[8] == '\r';
  if (is_other_version) return refuse(fault, 505, "an HTTP version other than 1.0 and 1.1");
  return refuse(fault, 400, "a malformed end of the request line");
}

// Parses the request line; `rest` gets the bytes after it.
bool parse_request_line(std::string_view bytes, RequestHead* out, std::string_view* rest, HeadFault* fault) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* const method_end = find_token_end(begin, end);
  if (method_end == begin || method_end == end || *method_end != ' ')
    return refuse(fault, 400, "a malformed method");
  out->method_text = {begin, static_cast<size_t>(method_end - begin)};
  out->method = find_method(out->method_text);

  const char* const target = method_end + 1;
  const char* const target_end = find_target_end(target, end);
  if (target_end == target || target_end == end || *target_end != ' ') {
    return refuse(fault, 400, "a malformed request target");
  }
  out->target = {target, static_cast<size_t>(target_end - target)};

  const char* const version = target_end + 1;
  const std::string_view version_at(version, static_cast<size_t>(end - version));
  if (!parse_version(version_at, out, fault)) return false;
  *rest = version_at.substr(kVersionSize + 2);
  return true;
}

// The authority of an absolute target; empty for other forms. False when the target has none of the forms of
// its method.
bool find_authority(const RequestHead& head, std::string_view* authority, HeadFault* fault) {
  const std::string_view target = head.target;
  if (target[0] == '/') return true;
  if (target == "*" && head.method == Method::kOptions) return true;
  *authority = absolute_authority(target);
  if (authority->empty()) return refuse(fault, 400, "a request target of no known form");
  return true;
}

bool check_host(const FieldFacts& facts, RequestHead* out, HeadFault* fault) {
  std::string_view authority;
  if (!find_authority(*out, &authority, fault)) return false;
  if (facts.host_count > 1) return refuse(fault, 400, "more than one Host");
  if (facts.host_count == 0) {
    if (out->version_minor == 1) return refuse(fault, 400, "no Host");
    if (!authority.empty()) return refuse(fault, 400, "an absolute target without Host");
    return true;
  }
  if (!split_host(facts.host, &out->host_parts)) return refuse(fault, 400, "an invalid Host");
  if (!authority.empty() && !equals_ignoring_case(authority, facts.host)) {
    return refuse(fault, 400, "a Host that differs from the request target");
  }
  out->host = facts.host;
  return true;
}

bool set_body(const FieldFacts& facts, RequestHead* out, HeadFault* fault) {
  Framing framing;
  return read_framing(facts, out->version_minor, &framing, fault) &&
         settle_request_body(facts, framing, out, fault);
}

}  // namespace

bool settle_request_body(const FieldFacts& facts, const Framing& framing, RequestHead* out,
                         HeadFault* fault) {
  // Legal, but some read an octal number.
  if (facts.content_length.size() > 1 && facts.content_length[0] == '0') {
    return refuse(fault, 400, "a Content-Length with a leading zero");
  }
  const bool has_content = framing.is_chunked || framing.length > 0;
  if (out->method == Method::kTrace && has_content) return refuse(fault, 400, "TRACE with a body");
  if (facts.has_other_expectation) return refuse(fault, 417, "an expectation other than 100-continue");
  out->body = framing.is_chunked   ? BodyKind::kChunked
              : framing.has_length ? BodyKind::kLength
                                   : BodyKind::kNone;
  out->content_length = framing.length;
  out->expects_continue = facts.has_continue_expectation && !out->is_http10() && has_content;
  return true;
}

std::string_view absolute_authority(std::string_view target) {
  size_t begin = 0;
  if (target.size() > 7 && equals_ignoring_case(target.substr(0, 7), "http://")) begin = 7;
  if (target.size() > 8 && equals_ignoring_case(target.substr(0, 8), "https://")) begin = 8;
  if (begin == 0) return {};
  return target.substr(begin, target.find_first_of("/?#", begin) - begin);
}

bool parse_request_head(std::string_view bytes, const HeadLimits& limits, RequestHead* out,
                        HeadFault* fault) {
  std::string_view rest;
  if (!parse_request_line(bytes, out, &rest, fault)) return false;
  FieldFacts facts;
  if (!parse_field_lines(rest, limits.fields_max, &out->fields, &facts, fault)) return false;
  if (out->method == Method::kConnect) return refuse(fault, 501, "CONNECT is not supported");
  if (!check_host(facts, out, fault) || !set_body(facts, out, fault)) return false;
  out->is_keep_alive = keeps_alive(facts, out->version_minor);
  // An upgrade offered in HTTP/1.0 is to be ignored (RFC 9110 7.8). HTTP/2 in a tunnel would be requests that
  // no route has seen.
  out->has_upgrade =
      facts.lists_upgrade && facts.has_upgrade_field && !facts.has_http2_upgrade && out->version_minor == 1;
  out->has_te_trailers = facts.has_te_trailers;
  return true;
}

}  // namespace moongate::http
