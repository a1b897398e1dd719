// SPDX-License-Identifier: Apache-2.0
// What requests and responses have in common: the lines of fields, and how the fields together frame the
// body. Only http/ includes this; callers use head.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/fields.h"
#include "http/head.h"

namespace moongate::http {

/// What the parser remembers of the fields that mean something to it. A count says how often the field was
/// there; the view is the last one's value.
struct FieldFacts {
  std::string_view host;
  std::string_view content_length;
  std::string_view transfer_encoding;
  uint32_t host_count = 0;
  uint32_t content_length_count = 0;
  uint32_t transfer_encoding_count = 0;
  bool lists_close = false;  // what Connection lists
  bool lists_keep_alive = false;
  bool lists_upgrade = false;
  bool has_upgrade_field = false;
  bool has_http2_upgrade = false;  // to h2c
  bool has_te_trailers = false;
  bool has_continue_expectation = false;
  bool has_other_expectation = false;
};

/// How the body is delimited, as far as the fields alone say.
struct Framing {
  bool is_chunked = false;
  bool has_length = false;
  uint64_t length = 0;
};

/// Fills `fault` and returns false, so that a refusal is one statement.
[[gnu::cold]] inline bool refuse(HeadFault* fault, uint16_t status, std::string_view reason) {
  fault->status = status;
  fault->reason = reason;
  return false;
}

/// Parses `bytes`, the lines after the start line up to and including the empty one.
bool parse_field_lines(std::string_view bytes, uint32_t fields_max, FieldList* fields, FieldFacts* facts,
                       HeadFault* fault);

/// Remembers what a field means to the parser.
void note_field(const Field& field, FieldFacts* facts);

/// Decides on the framing, and refuses every combination that another server might read differently.
bool read_framing(const FieldFacts& facts, uint8_t version_minor, Framing* framing, HeadFault* fault);

/// What the framing means for a request's body, whatever the protocol that framed it.
bool settle_request_body(const FieldFacts& facts, const Framing& framing, RequestHead* out, HeadFault* fault);

/// Whether the connection goes on after this message, by version and Connection.
inline bool keeps_alive(const FieldFacts& facts, uint8_t version_minor) {
  return !facts.lists_close && (version_minor == 1 || facts.lists_keep_alive);
}

}  // namespace moongate::http
