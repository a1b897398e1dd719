// SPDX-License-Identifier: Apache-2.0
// The rules of RFC 9113 8. Whatever HTTP/1 would carry differently is refused here, because the message may
// go on as HTTP/1: no byte of a block may become a line, a request or a framing of its own.
#include "http/http2_fields.h"

#include <algorithm>

#include "http/chars.h"
#include "http/chunked.h"
#include "http/field_lines.h"

namespace moongate::http {

void Http2FieldBlock::clear() {
  constexpr size_t kKeptBytes = 4096;
  if (text_.capacity() > kKeptBytes) {
    text_ = {};
    sizes_ = {};
  }
  text_.clear();
  sizes_.clear();
  size_bytes_ = 0;
  is_too_large_ = is_malformed_ = false;
}

void Http2FieldBlock::add(std::string_view name, std::string_view value, size_t size_max_bytes) {
  constexpr size_t kLineBytes = 4;  // what a line has besides name and value
  size_bytes_ += name.size() + value.size() + kLineBytes;
  is_too_large_ |= size_bytes_ > size_max_bytes;
  if (is_too_large_) return;
  text_.append(name).append(": ").append(value).append("\r\n");
  sizes_.push_back({static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size())});
}

namespace {

/// The pseudo-fields of a request; null views for those that are not there.
struct Pseudo {
  std::string_view method, scheme, authority, path, protocol;

  std::string_view* find(std::string_view name) {
    if (name == ":method") return &method;
    if (name == ":scheme") return &scheme;
    if (name == ":authority") return &authority;
    if (name == ":path") return &path;
    if (name == ":protocol") return &protocol;
    return nullptr;
  }
};

bool is_lower_case_name(std::string_view name) {
  return is_field_name(name) &&
         std::none_of(name.begin(), name.end(), [](char c) { return to_lower(c) != c; });
}

bool is_trimmed_value(std::string_view value) {
  return is_field_value(value) && (value.empty() || (!is_blank(value.front()) && !is_blank(value.back())));
}

bool belongs_to_http1(FieldId id) {
  return id == FieldId::kConnection || id == FieldId::kKeepAlive || id == FieldId::kProxyConnection ||
         id == FieldId::kTransferEncoding || id == FieldId::kUpgrade;
}

/// Takes the fields of one block in, one after the other.
class RequestReader {
 public:
  RequestReader(const HeadLimits& limits, RequestHead* out, HeadFault* fault)
      : limits_(limits), out_(out), fault_(fault) {}

  bool take(std::string_view name, std::string_view value) {
    if (!is_trimmed_value(value))
      return refuse(fault_, 400, "a header value with a byte that may not be there");
    return !name.empty() && name[0] == ':' ? take_pseudo(name, value) : take_field(name, value);
  }
  /// Puts the crumbs of a cookie together (RFC 9113 8.2.3).
  void join_cookies(base::Arena* arena) {
    if (cookie_count_ < 2) return;
    char* text = arena->allocate_chars(cookie_bytes_ + 2 * cookie_count_);
    char* at = text;
    for (const Field& field : out_->fields) {
      if (field.id != FieldId::kCookie) continue;
      if (at != text) *at++ = ';';
      if (at != text) *at++ = ' ';
      at = std::copy(field.value.begin(), field.value.end(), at);
    }
    out_->fields.set("cookie", {text, static_cast<size_t>(at - text)});
  }

  Pseudo pseudo;
  FieldFacts facts;

 private:
  bool take_pseudo(std::string_view name, std::string_view value) {
    if (has_fields_) return refuse(fault_, 400, "a pseudo-header behind headers");
    std::string_view* place = pseudo.find(name);
    if (place == nullptr) return refuse(fault_, 400, "an unknown pseudo-header");
    if (place->data() != nullptr) return refuse(fault_, 400, "a pseudo-header twice");
    *place = value;
    return true;
  }
  bool take_field(std::string_view name, std::string_view value) {
    has_fields_ = true;
    if (!is_lower_case_name(name))
      return refuse(fault_, 400, "a header name with a character that may not be there");
    Field field(name, value);
    field.is_whole_line = true;
    if (belongs_to_http1(field.id)) return refuse(fault_, 400, "a header that only HTTP/1 connections have");
    if (field.id == FieldId::kTe && !equals_ignoring_case(value, "trailers"))
      return refuse(fault_, 400, "a TE other than trailers");
    if (field.id == FieldId::kCookie) {
      cookie_count_++;
      cookie_bytes_ += value.size();
    }
    const uint32_t crumbs = cookie_count_ > 0 ? cookie_count_ - 1 : 0;
    if (out_->fields.count() - std::min(crumbs, out_->fields.count()) >= limits_.fields_max)
      return refuse(fault_, 431, "too many headers");
    out_->fields.add(field);
    if (field.id != FieldId::kOther) note_field(field, &facts);
    return true;
  }

  const HeadLimits& limits_;
  RequestHead* out_;
  HeadFault* fault_;
  bool has_fields_ = false;
  uint32_t cookie_count_ = 0;
  size_t cookie_bytes_ = 0;
};

bool settle_method(const Pseudo& pseudo, RequestHead* out, HeadFault* fault) {
  if (!is_field_name(pseudo.method)) return refuse(fault, 400, "a malformed method");
  out->method_text = pseudo.method;
  out->method = find_method(pseudo.method);
  if (out->method != Method::kConnect) {
    return pseudo.protocol.data() == nullptr ||
           refuse(fault, 400, ":protocol with a method other than CONNECT");
  }
  if (pseudo.protocol.data() == nullptr) return refuse(fault, 501, "CONNECT is not supported");
  if (pseudo.protocol != "websocket")
    return refuse(fault, 501, "CONNECT for a protocol other than websocket");
  out->method = Method::kGet;
  out->method_text = method_name(Method::kGet);
  out->is_extended_connect = true;
  out->has_upgrade = true;
  return true;
}

bool settle_target(const Pseudo& pseudo, RequestHead* out, HeadFault* fault) {
  if (pseudo.scheme != "http" && pseudo.scheme != "https")
    return refuse(fault, 400, "a :scheme other than http and https");
  const bool is_asterisk = pseudo.path == "*" && out->method == Method::kOptions;
  if (pseudo.path.empty() || (pseudo.path[0] != '/' && !is_asterisk) ||
      !std::all_of(pseudo.path.begin(), pseudo.path.end(), [](char c) { return has_flag(c, kTargetChar); })) {
    return refuse(fault, 400, "a malformed :path");
  }
  out->target = pseudo.path;
  return true;
}

bool settle_host(const Pseudo& pseudo, const FieldFacts& facts, RequestHead* out, HeadFault* fault) {
  const bool has_authority = pseudo.authority.data() != nullptr;
  if (facts.host_count > 1) return refuse(fault, 400, "more than one Host");
  if (facts.host_count == 0 && !has_authority) return refuse(fault, 400, "neither :authority nor Host");
  out->host = has_authority ? pseudo.authority : facts.host;
  if (has_authority && facts.host_count == 1 && !equals_ignoring_case(pseudo.authority, facts.host))
    return refuse(fault, 400, "a Host that differs from :authority");
  if (!split_host(out->host, &out->host_parts)) return refuse(fault, 400, "an invalid :authority or Host");
  out->fields.set("host", out->host);
  return true;
}

// The end of the stream takes the place of HTTP/1's framing.
bool settle_framing(const FieldFacts& facts, bool is_last, RequestHead* out, HeadFault* fault) {
  Framing framing;
  if (!read_framing(facts, out->version_minor, &framing, fault)) return false;
  if (is_last && framing.length > 0) return refuse(fault, 400, "a Content-Length, and no body");
  framing.is_chunked = !is_last && !framing.has_length;
  if (out->is_extended_connect) {
    if (framing.has_length) return refuse(fault, 400, "CONNECT with a Content-Length");
    if (is_last) return refuse(fault, 400, "CONNECT on a stream that has ended");
    framing.is_chunked = false;
  }
  return settle_request_body(facts, framing, out, fault);
}

}  // namespace

bool parse_http2_request(const Http2FieldBlock& block, bool is_last, const HeadLimits& limits,
                         base::Arena* arena, RequestHead* out, HeadFault* fault) {
  out->version_major = 2;
  out->version_minor = 0;
  if (block.is_too_large()) return refuse(fault, 431, "header section too large");
  if (block.is_malformed()) return refuse(fault, 400, "malformed header section");
  RequestReader reader(limits, out, fault);
  const char* at = arena->copy(block.text()).data();
  for (size_t i = 0; i < block.count(); ++i) {
    const Http2FieldBlock::Sizes sizes = block.sizes(i);
    const std::string_view value(at + sizes.name + 2, sizes.value);
    if (!reader.take({at, sizes.name}, value)) return false;
    at = value.data() + value.size() + 2;
  }
  if (!settle_method(reader.pseudo, out, fault) || !settle_target(reader.pseudo, out, fault) ||
      !settle_host(reader.pseudo, reader.facts, out, fault) ||
      !settle_framing(reader.facts, is_last, out, fault)) {
    return false;
  }
  reader.join_cookies(arena);
  out->has_te_trailers = reader.facts.has_te_trailers;
  return true;
}

namespace {

bool take_status(std::string_view value, ResponseHead* out, HeadFault* fault) {
  const bool is_number = value.size() == 3 &&
                         std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_number || value[0] == '0') return refuse(fault, 502, "a malformed :status");
  if (out->status != 0) return refuse(fault, 502, "a second :status");
  out->status = static_cast<uint16_t>((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
  if (out->status == 101) return refuse(fault, 502, "a 101, which HTTP/2 does not have");
  out->reason = status_reason(out->status);
  return true;
}

bool take_response_field(std::string_view name, std::string_view value, const HeadLimits& limits,
                         ResponseHead* out, FieldFacts* facts, HeadFault* fault) {
  if (!is_trimmed_value(value)) return refuse(fault, 502, "a header value with a byte that may not be there");
  if (name == ":status") {
    return out->fields.count() == 0 ? take_status(value, out, fault)
                                    : refuse(fault, 502, "a pseudo-header behind headers");
  }
  if (!is_lower_case_name(name))
    return refuse(fault, 502, "a header name with a character that may not be there");
  Field field(name, value);
  field.is_whole_line = true;
  if (belongs_to_http1(field.id)) return refuse(fault, 502, "a header that only HTTP/1 connections have");
  if (out->fields.count() >= limits.fields_max) return refuse(fault, 502, "too many headers");
  out->fields.add(field);
  if (field.id != FieldId::kOther) note_field(field, facts);
  return true;
}

bool settle_response_body(const FieldFacts& facts, bool is_last, Method request_method, ResponseHead* out,
                          HeadFault* fault) {
  Framing framing;
  if (!read_framing(facts, out->version_minor, &framing, fault)) return false;
  out->content_length = framing.length;
  if (out->status < 200) {
    if (framing.length > 0) return refuse(fault, 502, "an interim response that announces a body");
    return !is_last || refuse(fault, 502, "an interim response that ends the stream");
  }
  if (out->status == 204 || out->status == 304 || request_method == Method::kHead) {
    out->body = BodyKind::kNone;
    return true;
  }
  if (is_last && framing.length > 0) return refuse(fault, 502, "a Content-Length, and no body");
  out->body = is_last || framing.has_length ? BodyKind::kLength : BodyKind::kChunked;
  return true;
}

}  // namespace

bool parse_http2_response(const Http2FieldBlock& block, bool is_last, const HeadLimits& limits,
                          Method request_method, ResponseHead* out, base::Arena* arena,
                          std::string_view* reason) {
  HeadFault fault;
  FieldFacts facts;
  const char* at = arena->copy(block.text()).data();
  bool is_fine = !block.is_too_large() || refuse(&fault, 502, "a header section that is too large");
  for (size_t i = 0; i < block.count() && is_fine; ++i) {
    const Http2FieldBlock::Sizes sizes = block.sizes(i);
    const std::string_view value(at + sizes.name + 2, sizes.value);
    is_fine = take_response_field({at, sizes.name}, value, limits, out, &facts, &fault);
    at = value.data() + value.size() + 2;
  }
  if (is_fine && out->status == 0) is_fine = refuse(&fault, 502, "no :status");
  if (is_fine && settle_response_body(facts, is_last, request_method, out, &fault)) return true;
  *reason = fault.reason;
  return false;
}

bool parse_http2_trailers(const Http2FieldBlock& block, std::string* lines) {
  std::string_view rest = block.text();
  for (size_t i = 0; i < block.count(); ++i) {
    const Http2FieldBlock::Sizes sizes = block.sizes(i);
    const std::string_view name = rest.substr(0, sizes.name);
    const std::string_view line = rest.substr(0, sizes.name + 2 + sizes.value + 2);
    const std::string_view value = rest.substr(sizes.name + 2, sizes.value);
    rest.remove_prefix(line.size());
    if (!is_lower_case_name(name) || !is_trimmed_value(value)) return false;  // a pseudo-field is no name
    if (may_be_trailer(name)) lines->append(line);
  }
  return true;
}

Http2Priority parse_priority(std::string_view value) {
  Http2Priority priority;
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view item = trim_blanks(value.substr(0, comma));
    value.remove_prefix(std::min(comma + 1, value.size()));
    if (item.size() == 3 && item.substr(0, 2) == "u=" && item[2] >= '0' && item[2] <= '7')
      priority.urgency = static_cast<uint32_t>(item[2] - '0');
    if (item == "i" || item == "i=?1") priority.is_incremental = true;
  }
  return priority;
}

}  // namespace moongate::http
