// SPDX-License-Identifier: Apache-2.0
// A block of fields as HTTP/2 and HTTP/3 carry it, and what is made of it: a head like the one HTTP/1 has,
// checked as strictly, or trailers. HPACK is http2_session.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "http/head.h"

namespace moongate::http {

/// The decoded fields of one block, in order, pseudo-fields included.
///
/// Shape:   lines `name: value` CR LF one after the other, so that a head is copied once and can be sent on
///          in one piece; nothing is known yet of what is in them.
/// Fails:   beyond the size it takes no more and says so.
class Http2FieldBlock {
 public:
  void clear();
  void add(std::string_view name, std::string_view value, size_t size_max_bytes);

  /// Whoever read the fields has found that they may not be, and kept what it would not read further.
  void mark_malformed() { is_malformed_ = true; }
  bool is_malformed() const { return is_malformed_; }
  bool is_too_large() const { return is_too_large_; }
  /// Of all that was added, also what was not kept.
  size_t size_bytes() const { return size_bytes_; }
  /// The lines.
  std::string_view text() const { return text_; }
  size_t count() const { return sizes_.size(); }
  struct Sizes {
    uint32_t name, value;
  };
  Sizes sizes(size_t index) const { return sizes_[index]; }

 private:
  std::string text_;
  std::vector<Sizes> sizes_;
  size_t size_bytes_ = 0;
  bool is_too_large_ = false;
  bool is_malformed_ = false;
};

/// Makes a request of a block. `is_last`: no body and no trailers follow. Cookies that came apart are put
/// together, and Host stands in the fields, whether the client sent it or :authority. Views in `out` point
/// into `arena`.
///
/// Refused as malformed (RFC 9113 8): pseudo-fields that are missing, unknown, doubled or behind others;
/// names that are not lower case; control characters, and blanks at the ends, in values; fields of HTTP/1
/// connections; TE other than `trailers`; a Host that differs from :authority; a :path that is no origin
/// form; and all that parse_request_head refuses. An extended CONNECT (RFC 8441) for `websocket` comes out as
/// the GET that HTTP/1 would have sent, with is_extended_connect.
bool parse_http2_request(const Http2FieldBlock& block, bool is_last, const HeadLimits& limits,
                         base::Arena* arena, RequestHead* out, HeadFault* fault);

/// Makes a response of a block, interim ones too. False when it is malformed; `reason` gets static text. The
/// body is kNone where there can be none, kLength where the size is known, else kChunked: what follows may
/// have trailers.
bool parse_http2_response(const Http2FieldBlock& block, bool is_last, const HeadLimits& limits,
                          Method request_method, ResponseHead* out, base::Arena* arena,
                          std::string_view* reason);

/// Makes lines `name: value` CR LF of a block of trailers; what must not be a trailer is left out. False when
/// the block is malformed.
bool parse_http2_trailers(const Http2FieldBlock& block, std::string* lines);

/// What a `priority` field asks for (RFC 9218).
struct Http2Priority {
  uint32_t urgency = 3;
  bool is_incremental = false;
};
Http2Priority parse_priority(std::string_view value);

}  // namespace moongate::http
