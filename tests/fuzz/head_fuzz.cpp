// SPDX-License-Identifier: Apache-2.0
// folder: http
// Two readers of the same bytes: the request parser and a naive one must agree on where the head ends, on
// whether it is acceptable, and on everything a router or an upstream would act on.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "http/head.h"
#include "naive_head.h"

namespace {

using namespace moongate;

// Bytes that arrive in pieces must end where bytes that arrive at once do.
void check_scan(std::string_view bytes, const http::HeadLimits& limits, const http::ScanResult& whole) {
  const size_t step = 1 + bytes.size() % 7;
  size_t from = 0;
  for (size_t size = 0;; size = std::min(size + step, bytes.size())) {
    const http::ScanResult part = http::scan_head(bytes.substr(0, size), from, limits);
    if (part.status != http::ScanStatus::kIncomplete || size == bytes.size()) {
      MG_ASSERT(part.status == whole.status && part.head_size == whole.head_size);
      return;
    }
    MG_ASSERT(part.resume_at <= size);
    from = part.resume_at;
  }
}

void check_agreement(const http::RequestHead& head, const naive::Head& expected) {
  MG_ASSERT(head.method_text == expected.method);
  MG_ASSERT(head.method == http::Method::kOther || http::method_name(head.method) == expected.method);
  MG_ASSERT(head.target == expected.target);
  MG_ASSERT(head.host == expected.host);
  MG_ASSERT(head.version_minor == expected.version_minor);
  MG_ASSERT(head.is_keep_alive == expected.is_keep_alive);
  MG_ASSERT((head.body == http::BodyKind::kChunked) == expected.is_chunked);
  MG_ASSERT((head.body == http::BodyKind::kLength) == expected.has_length);
  MG_ASSERT(head.content_length == expected.length);
  MG_ASSERT(head.fields.count() == expected.fields.size());
  for (uint32_t i = 0; i < head.fields.count(); ++i) {
    MG_ASSERT(head.fields[i].name == expected.fields[i].first);
    MG_ASSERT(head.fields[i].value == expected.fields[i].second);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  http::HeadLimits limits;
  limits.fields_max = 20;
  const http::ScanResult scan = http::scan_head(bytes, 0, limits);
  check_scan(bytes, limits, scan);

  const size_t naive_size = naive::find_head_size(bytes);
  if (naive_size == 0 || naive_size > limits.head_size_max_bytes) {
    MG_ASSERT(scan.status != http::ScanStatus::kComplete);
    return 0;
  }
  MG_ASSERT(scan.status == http::ScanStatus::kComplete && scan.head_size == naive_size);

  base::Arena arena;
  http::RequestHead head(&arena);
  http::HeadFault fault;
  const std::string only_head = bytes.substr(0, naive_size);
  const bool is_accepted = http::parse_request_head(only_head, limits, &head, &fault);
  naive::Head expected;
  const bool is_expected = naive::parse(only_head, limits.fields_max, &expected);
  MG_ASSERT(is_accepted == is_expected);
  if (is_accepted) {
    check_agreement(head, expected);
  } else {
    MG_ASSERT(fault.status >= 400 && !fault.reason.empty());
  }
  return 0;
}
