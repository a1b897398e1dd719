// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP/1 message: start line and fields, parsed from bytes that are already all there. Strict
// RFC 9112: whatever two servers could read differently is an error. No sockets here; proxy/ and upstream/
// feed it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "http/fields.h"

namespace moongate::http {

enum class Method : uint8_t {
  kOther,
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kPatch,
  kOptions,
  kConnect,
  kTrace,
  kPurge,
  kCount
};
Method find_method(std::string_view text);  // case-sensitive, as RFC 9110 has it
std::string_view method_name(Method method);
/// Safe or idempotent by RFC 9110 9.2: may be sent again when the first try cannot be known to have failed.
bool is_idempotent(Method method);

/// How the body that follows a head is delimited.
enum class BodyKind : uint8_t {
  kNone,    // no body at all
  kLength,  // content_length bytes (may be 0)
  kChunked,
  kUntilClose,  // responses only
};

struct HeadLimits {
  size_t head_size_max_bytes = 32 * 1024;
  uint32_t fields_max = 100;
};

/// Where the head ends in `bytes`.
enum class ScanStatus : uint8_t { kIncomplete, kComplete, kTooLarge };
struct ScanResult {
  ScanStatus status;
  size_t head_size;  // bytes up to and including the empty line, when complete
  size_t resume_at;  // where the next scan of a longer buffer may begin, when incomplete
};
/// Finds the empty line that ends a head (a bare LF counts as a line end here, so that the parser gets to
/// refuse it). `from` is resume_at of the former scan of the same bytes, or 0. Leading empty lines are the
/// caller's.
ScanResult scan_head(std::string_view bytes, size_t from, const HeadLimits& limits);

/// A host and port taken apart; the views point into the text they were read from.
struct HostParts {
  std::string_view name;  // without brackets, port and trailing dot
  uint16_t port = 0;      // 0 when there is none
  bool is_ipv6 = false;
  bool is_lower_case = true;  // `name` is its own canonical spelling; never said of IPv6
};

struct RequestHead {
  explicit RequestHead(base::Arena* arena) : fields(arena) {}
  Method method = Method::kOther;
  std::string_view method_text;
  std::string_view target;    // as received
  uint8_t version_major = 1;  // HTTP/1.0, HTTP/1.1 or HTTP/2.0
  uint8_t version_minor = 1;
  bool is_keep_alive = true;         // by version and Connection
  bool has_upgrade = false;          // Connection lists `upgrade` and an Upgrade field is there
  bool is_extended_connect = false;  // came as CONNECT with :protocol (RFC 8441): an upgrade or nothing
  bool expects_continue = false;
  bool has_te_trailers = false;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;
  std::string_view host;  // Host field's value, or the authority of an absolute target
  HostParts host_parts;   // the same, taken apart
  FieldList fields;

  bool is_http10() const { return version_major == 1 && version_minor == 0; }
};

struct ResponseHead {
  explicit ResponseHead(base::Arena* arena) : fields(arena) {}
  uint16_t status = 0;
  std::string_view reason;
  uint8_t version_minor = 1;
  bool is_keep_alive = true;
  bool has_upgrade = false;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;
  FieldList fields;
};

/// Why a request head is refused: the status to answer with and a sentence for log and client.
struct HeadFault {
  uint16_t status = 400;    // 400, 413, 417, 431, 501 or 505
  std::string_view reason;  // static text
};

/// Parses a complete request head: exactly the bytes that scan_head called complete. Views in `out` point
/// into `bytes`, which must live as long as `out` (the exchange keeps them in its arena). Returns false and
/// fills `fault` on any fault. Refused among others: bare CR or LF, obs-fold, white space before the colon,
/// any control character in a value, both Content-Length and Transfer-Encoding, repeated or odd
/// Content-Length, a coding other than exactly one final `chunked`, Transfer-Encoding with HTTP/1.0, no Host
/// or more than one with HTTP/1.1, an invalid Host, CONNECT, more fields than limits.fields_max.
bool parse_request_head(std::string_view bytes, const HeadLimits& limits, RequestHead* out, HeadFault* fault);

/// Parses a complete response head. `request_method` decides on bodies (HEAD; CONNECT is never sent). False
/// when the upstream's head cannot be trusted; `reason` gets static text.
bool parse_response_head(std::string_view bytes, const HeadLimits& limits, Method request_method,
                         ResponseHead* out, std::string_view* reason);

/// Text for a status code ("Not Found"), or "Unknown".
std::string_view status_reason(uint16_t status);

/// True when `name` is a valid field name (RFC 9110 token), `value` a valid field value (no CR, LF, NUL or
/// other control character but HTAB).
bool is_field_name(std::string_view name);
bool is_field_value(std::string_view value);

/// The authority of an absolute-form target ("http://example.com/a"), as written and unchecked; empty for
/// every other form.
std::string_view absolute_authority(std::string_view target);

/// Takes a host and port apart: a DNS name ('_' allowed), an IPv4 or bracketed IPv6 address, and a port (1 to
/// 65535, no leading zero) or none. False for anything else.
bool split_host(std::string_view text, HostParts* parts);
bool is_host(std::string_view text);

/// The one spelling of a host: lower case, no trailing dot, an IPv6 address in brackets at its shortest. A
/// view of `parts` or of `arena`.
std::string_view spell_host(const HostParts& parts, base::Arena* arena);

}  // namespace moongate::http
