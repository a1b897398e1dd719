// SPDX-License-Identifier: Apache-2.0
// folder: http
// Whatever an upstream sends as a head, an accepted one has a single reading: one framing, values without
// control characters, and no body where HTTP knows none. The first byte picks the request's method.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/head.h"

namespace {

using namespace moongate;

void check_framing(const http::ResponseHead& head, http::Method method) {
  uint32_t lengths = 0;
  uint32_t codings = 0;
  for (const http::Field& field : head.fields) {
    MG_ASSERT(http::is_field_name(field.name) && http::is_field_value(field.value));
    MG_ASSERT(field.id == http::find_field_id(field.name));
    lengths += field.id == http::FieldId::kContentLength;
    codings += field.id == http::FieldId::kTransferEncoding;
  }
  MG_ASSERT(lengths + codings <= 1);
  const bool is_bodiless =
      head.status < 200 || head.status == 204 || head.status == 304 || method == http::Method::kHead;
  MG_ASSERT((head.body == http::BodyKind::kNone) == is_bodiless);
  if (is_bodiless) return;
  MG_ASSERT((head.body == http::BodyKind::kChunked) == (codings == 1));
  MG_ASSERT((head.body == http::BodyKind::kLength) == (lengths == 1));
  MG_ASSERT(head.body != http::BodyKind::kUntilClose || !head.is_keep_alive);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto method = static_cast<http::Method>(data[0] % static_cast<uint8_t>(http::Method::kCount));
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const http::HeadLimits limits;
  const http::ScanResult scan = http::scan_head(bytes, 0, limits);
  // Incomplete bytes are fed too: the parser must hold without the scan's promise.
  const std::string only_head =
      scan.status == http::ScanStatus::kComplete ? bytes.substr(0, scan.head_size) : bytes;
  base::Arena arena;
  http::ResponseHead head(&arena);
  std::string_view reason;
  if (!http::parse_response_head(only_head, limits, method, &head, &reason)) {
    MG_ASSERT(!reason.empty());
    return 0;
  }
  MG_ASSERT(scan.status == http::ScanStatus::kComplete);
  MG_ASSERT(head.status >= 100 && head.status <= 999 && http::is_field_value(head.reason));
  check_framing(head, method);
  return 0;
}
